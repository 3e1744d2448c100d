"""Measuring on servers that are started for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Final

import asyncpg
import psutil

from bench.lab.database import Database
from bench.lab.place import Place
from bench.lab.screen import Screen
from bench.lab.workload import Tables
from bench.stack import PostgreSQL
from bench.stack.install import ensure_installed
from bench.stack.packages import POSTGRES
from bench.stack.temporary import temporary_servers, temporary_stack
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
    """Start both servers; leave nothing of them.

    Raises:
        StackError: they cannot be installed or started.
    """
    with temporary_stack("lab", directory, screen.tell, postgres=_POSTGRES) as (stack, place):
        database = _Own(stack.postgres, screen)
        broker = stack.rabbitmq
        yield Place(broker.url(), database, place, queue_type, broker_pid=broker.pid)


@asynccontextmanager
async def own_database(directory: Path | None, screen: Screen) -> AsyncIterator[Database]:
    """Start PostgreSQL alone; leave nothing of it. Raises StackError like `own_place`."""
    with temporary_servers("lab", directory, screen.tell, _Alone) as (alone, _):
        yield _Own(alone.postgres, screen)


class _Alone:
    """PostgreSQL without a broker."""

    def __init__(self, directory: Path) -> None:
        self.postgres = PostgreSQL(directory / "postgres", settings=_POSTGRES)

    def start(self, report: Callable[[str], None]) -> None:
        ensure_installed(report, POSTGRES)
        report("starting PostgreSQL")
        self.postgres.start()

    def stop(self) -> None:
        self.postgres.stop()


class _Own(Database):
    """Tables are loaded once, into a database that each run begins with a copy of."""

    is_ours: ClassVar = True

    def __init__(self, server: PostgreSQL, screen: Screen) -> None:
        super().__init__(server.dsn(_DATABASE), screen)
        self._server = server
        self._templates: dict[Tables, str] = {}

    @property
    def pid(self) -> int:
        return self._server.pid

    async def _fresh_tables(self, tables: Tables) -> None:
        if tables not in self._templates:
            await self._make_template(tables)
        template = self._templates[tables]
        administrator = await asyncpg.connect(self._server.dsn())
        try:
            await administrator.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
            await administrator.execute(
                f"CREATE DATABASE {_DATABASE} TEMPLATE {template} STRATEGY file_copy"
            )
        finally:
            await administrator.close()
        async with self.connect() as connection:
            if await connection.fetchval(_HAS_PREWARM):
                await connection.execute("CREATE EXTENSION pg_prewarm")
                await connection.execute(_PREWARM)
            else:
                self.screen.tell("the tables are cold: PostgreSQL's pg_prewarm is not installed")

    async def _make_template(self, tables: Tables) -> None:
        name = f"{_DATABASE}_{len(self._templates)}"
        await asyncio.to_thread(self._server.create_database, name)
        await self._fill(self._server.dsn(name), tables)
        self._templates[tables] = name
