"""Where is measured: a broker and a database, our own (``own``) or given ones (``given``)."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import unquote, urlsplit

import asyncpg

from bench.lab import queues, rows
from bench.lab.screen import Screen
from bench.lab.workload import Tables, Workload
from service.broker.topology import BILL, DLR, Source
from service.settings import AMQP_PORT, AMQPS_PORT, Bill, Dlr, QueueType, Stream
from service.store.migrate import migrate

# So that the backlog of any run fits; the queues' other arguments are the service's own.
MAX_LENGTH: Final = 100_000_000

# Which of the database's settings go into results.
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


class Place(ABC):
    """A broker and a database.

    Attributes:
        is_ours: whether both were started for this run.
        amqp_url: of the virtual host.
        dsn: URL of the database; it leads asyncpg and psycopg to the run's own tables.
        directory: for logs of whoever is measured.
        queues: the settings that the queues are declared with.
        screen: is told what happens.
    """

    is_ours: ClassVar[bool]

    def __init__(
        self, amqp_url: str, dsn: str, directory: Path, queue_type: QueueType, screen: Screen
    ) -> None:
        self.amqp_url = amqp_url
        self.dsn = dsn
        self.directory = directory
        self.screen = screen
        self.queues: dict[Source, Stream] = {
            DLR: Dlr(queue_type=queue_type, max_length=MAX_LENGTH),
            BILL: Bill(queue_type=queue_type, max_length=MAX_LENGTH),
        }

    @property
    def broker_pid(self) -> int | None:
        """The broker's process, where it is ours."""
        return None

    @property
    def database_pid(self) -> int | None:
        """The database's first process, where it is ours."""
        return None

    @property
    def environment(self) -> dict[str, str]:
        """The service's variables that lead it here."""
        parts = urlsplit(self.amqp_url)
        is_secure = parts.scheme == "amqps"
        port = parts.port or (AMQPS_PORT if is_secure else AMQP_PORT)
        variables = {
            "BILLING_CONFIG": "/dev/null",
            "BILLING_JASMIN_AMQP_HOST": parts.hostname or "localhost",
            "BILLING_JASMIN_AMQP_PORT": str(port),
            "BILLING_JASMIN_AMQP_TLS": str(is_secure).lower(),
            "BILLING_JASMIN_AMQP_USER": unquote(parts.username or "guest"),
            "BILLING_JASMIN_AMQP_PASSWORD": unquote(parts.password or "guest"),
            "BILLING_JASMIN_AMQP_VHOST": unquote(parts.path[1:]) or "/",
            "BILLING_DATABASE_URL": self.dsn,
        }
        for section, queue in (("DLR", self.queues[DLR]), ("BILL", self.queues[BILL])):
            variables[f"BILLING_{section}_QUEUE_TYPE"] = queue.queue_type
            variables[f"BILLING_{section}_MAX_LENGTH"] = str(queue.max_length)
        return variables

    async def fresh(self, workload: Workload) -> None:
        """Make the queues empty, and the tables as they are before any event."""
        await queues.declare(self.amqp_url, self.queues)
        await self._fresh_tables(workload.tables)
        async with self.connect() as database:
            try:
                await database.execute("CHECKPOINT")
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
        """Return what both servers are, and how they are set."""
        async with self.connect() as database:
            version = await database.fetchval("SHOW server_version")
            settings = await database.fetch(
                "SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name", _TOLD
            )
        return {
            "servers": "started for this run" if self.is_ours else "given",
            "broker": await queues.server(self.amqp_url),
            "queue_type": self.queues[DLR].queue_type,
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
