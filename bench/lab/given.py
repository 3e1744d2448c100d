"""Measuring on servers that others use, without getting in their way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import ClassVar, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from aiormq.exceptions import AMQPError

from bench.lab import queues
from bench.lab.database import Database, Unusable
from bench.lab.place import Place
from bench.lab.screen import Screen
from bench.lab.workload import Tables
from service.database_url import is_postgresql_url
from service.settings import QueueType

_VHOST_HINT: Final = (
    "make one for measuring, which nothing else uses: rabbitmqctl add_vhost bench; "
    "rabbitmqctl set_permissions -p bench USER '.*' '.*' '.*'; and name it in --amqp-url: "
    "amqp://USER:PASSWORD@HOST/bench"
)


@asynccontextmanager
async def given_place(
    amqp_url: str, database_url: str, queue_type: QueueType, screen: Screen
) -> AsyncIterator[Place]:
    """Use a virtual host that nothing else uses, and a schema that is made for it.

    Nothing of either is left.

    Raises:
        Unusable: the virtual host is in use, or one of the servers refuses.
    """
    database = GivenDatabase(database_url, screen)
    await _must_be_unused(amqp_url)
    with TemporaryDirectory(prefix="billing-bench-") as directory:
        async with database:
            try:
                yield Place(amqp_url, database, Path(directory), queue_type)
            finally:
                await queues.remove(amqp_url, exchanges=True)


class GivenDatabase(Database):
    """A schema that is made for the run; entering makes it, and leaving drops it.

    Tables are loaded anew before each run: a schema cannot be copied.

    Raises:
        Unusable: no such URL; on entering, PostgreSQL refuses.
    """

    is_ours: ClassVar = False

    def __init__(self, url: str, screen: Screen) -> None:
        schema = f"billing_bench_{token_hex(4)}"
        super().__init__(_with_schema(url, schema), screen)
        self._drop = f"DROP SCHEMA IF EXISTS {schema} CASCADE"
        self._create = f"CREATE SCHEMA {schema}"

    async def __aenter__(self) -> Self:
        await self._make_schema()
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self.connect() as connection:
            await connection.execute(self._drop)

    async def _make_schema(self) -> None:
        try:
            async with self.connect() as connection:
                await connection.execute(self._drop)
                await connection.execute(self._create)
        except (asyncpg.PostgresError, OSError) as error:
            raise Unusable(
                f"PostgreSQL refuses: {error}; --database-url must lead to a role that may create "
                "a schema (GRANT CREATE ON DATABASE … TO …)"
            ) from error

    async def _fresh_tables(self, tables: Tables) -> None:
        await self._make_schema()
        await self._fill(self.dsn, tables)


def _with_schema(url: str, schema: str) -> str:
    """Return a URL with which psycopg and asyncpg find the tables of a schema, and no others."""
    if not is_postgresql_url(url):
        raise Unusable("--database-url: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    query = urlsplit(url).query
    if "options" in parse_qs(query):
        raise Unusable("--database-url: leave out `options`, which choose the schema here")
    return f"{url}{'&' if query else '?'}options=-csearch_path%3D{schema}"


async def _must_be_unused(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"amqp", "amqps"}:
        raise Unusable("--amqp-url: expected amqp://USER:PASSWORD@HOST:PORT/VHOST")
    if unquote(parts.path[1:]) in {"", "/"}:
        raise Unusable(f"--amqp-url: not in the virtual host /, which is Jasmin's; {_VHOST_HINT}")
    try:
        found = await queues.existing(url)
    except (AMQPError, OSError) as error:
        raise Unusable(
            f"RabbitMQ refuses: {error!r}; check --amqp-url, or {_VHOST_HINT}"
        ) from error
    if found:
        raise Unusable(
            f"--amqp-url: the virtual host is in use: it has {', '.join(found)}; delete them if a "
            f"measurement that was killed has left them, or {_VHOST_HINT}"
        )
