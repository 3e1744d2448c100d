"""Measuring on servers that are started for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Final

import asyncpg
import psutil

from bench.lab.place import Place
from bench.lab.screen import Screen
from bench.lab.workload import Tables
from bench.stack import Stack
from bench.stack.temporary import temporary_stack
from service.settings import QueueType

_DATABASE: Final = "lab"

# A quarter of the memory for the tables, as PostgreSQL's manual begins with; no checkpoint in one
# run that another does not have; and the time of each commit, from which latencies are counted.
# Nothing that makes a commit less durable.
_POSTGRES: Final = {
    "shared_buffers": f"{psutil.virtual_memory().total // 4 // 1024}kB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "track_commit_timestamp": "on",
}

_HAS_PREWARM: Final = "SELECT true FROM pg_available_extensions WHERE name = 'pg_prewarm'"
# As they would be on a server that has run for a while.
_PREWARM: Final = """
    SELECT pg_prewarm(c.oid)
    FROM pg_class c
    WHERE c.relkind IN ('r', 'i') AND c.relnamespace = 'public'::regnamespace
    ORDER BY c.relkind DESC
"""


@asynccontextmanager
async def own_place(
    directory: Path | None, queue_type: QueueType, screen: Screen
) -> AsyncIterator[Place]:
    """Start servers; leave nothing of them.

    Raises:
        StackError: they cannot be installed or started.
    """
    with temporary_stack("lab", directory, screen.tell, postgres=_POSTGRES) as (stack, place):
        yield _Own(stack, place, queue_type, screen)


class _Own(Place):
    """Tables are loaded once, into a database that each run begins with a copy of."""

    is_ours: ClassVar = True

    def __init__(self, stack: Stack, directory: Path, queue_type: QueueType, screen: Screen):
        dsn = stack.postgres.dsn(_DATABASE)
        super().__init__(stack.rabbitmq.url(), dsn, directory, queue_type, screen)
        self._stack = stack
        self._templates: dict[Tables, str] = {}

    @property
    def broker_pid(self) -> int:
        return self._stack.rabbitmq.pid

    @property
    def database_pid(self) -> int:
        return self._stack.postgres.pid

    async def _fresh_tables(self, tables: Tables) -> None:
        administrator = await asyncpg.connect(self._stack.postgres.dsn())
        try:
            if tables not in self._templates:
                await self._make_template(administrator, tables)
            template = self._templates[tables]
            await administrator.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
            await administrator.execute(
                f"CREATE DATABASE {_DATABASE} TEMPLATE {template} STRATEGY file_copy"
            )
        finally:
            await administrator.close()
        async with self.connect() as database:
            if await database.fetchval(_HAS_PREWARM):
                await database.execute("CREATE EXTENSION pg_prewarm")
                await database.execute(_PREWARM)
            else:
                self.screen.tell("the tables are cold: PostgreSQL's pg_prewarm is not installed")

    async def _make_template(self, administrator: asyncpg.Connection, tables: Tables) -> None:
        name = f"{_DATABASE}_{len(self._templates)}"
        await administrator.execute(f"CREATE DATABASE {name}")
        await self._fill(self._stack.postgres.dsn(name), tables)
        self._templates[tables] = name
