"""The database that is measured with: our own (``own``) or a given one (``given``)."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final

import asyncpg

from bench.lab import rows
from bench.lab.screen import Screen
from bench.lab.workload import Tables
from service.store.migrate import migrate

# Which of its settings go into results.
_TOLD: Final = (
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "autovacuum",
)


class Unusable(Exception):
    """Nothing can be measured here; the text says what to do."""


class Database(ABC):
    """A database, or a schema in one, for the run alone.

    Attributes:
        is_ours: whether its server was started for this run.
        dsn: its URL; it leads asyncpg and psycopg to the run's own tables.
        screen: is told what happens.
    """

    is_ours: ClassVar[bool]

    def __init__(self, dsn: str, screen: Screen) -> None:
        self.dsn = dsn
        self.screen = screen

    @property
    def pid(self) -> int | None:
        """The server's first process, where it is ours."""
        return None

    async def fresh(self, tables: Tables) -> None:
        """Make the tables as they are before any event."""
        await self._fresh_tables(tables)
        async with self.connect() as connection:
            try:
                await connection.execute("CHECKPOINT")
            except asyncpg.InsufficientPrivilegeError:
                self.screen.tell("no CHECKPOINT before the run: the role may not")

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[asyncpg.Connection]:
        """Connect to the run's tables."""
        connection = await asyncpg.connect(self.dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def describe(self) -> dict[str, Any]:
        """Return what its server is, and how it is set."""
        async with self.connect() as connection:
            version = await connection.fetchval("SHOW server_version")
            settings = await connection.fetch(
                "SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name", _TOLD
            )
        return {
            "servers": "started for this run" if self.is_ours else "given",
            "database": f"PostgreSQL {version}",
            "database_settings": {row["name"]: row["value"] for row in settings},
        }

    @abstractmethod
    async def _fresh_tables(self, tables: Tables) -> None:
        """Make the tables as they are before any event."""

    async def _fill(self, dsn: str, tables: Tables) -> None:
        """Create tables and load them."""
        self.screen.tell(f"loading {tables.cdrs:,} CDRs")
        await asyncio.to_thread(migrate, dsn, lambda _: None)
        connection = await asyncpg.connect(dsn)
        try:
            await rows.load(connection, tables, self.screen.progress)
        finally:
            await connection.close()
