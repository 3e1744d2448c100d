"""A real RabbitMQ and PostgreSQL for all tests; a virtual host and a database for each."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from rich.console import Console

from bench.chaos.proxy import Proxy
from bench.lab.database import Database
from bench.lab.given import GivenDatabase, given_place
from bench.lab.place import Place
from bench.lab.screen import Screen
from bench.stack import Stack, StackError
from tests.support.gateway import Gateway
from tests.support.service import Service, run_to_end

ROOT = Path(__file__).parent.parent.parent
TEMPLATE = "billing_template"

# A shell without job control starts what is in the background deaf to SIGINT, and the programs that
# tests start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Start both servers, once."""
    base = ROOT / ".stack"
    base.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="test-", dir=base))
    directory.chmod(0o755)
    stack = Stack(directory)
    try:
        try:
            stack.start(print)
        except StackError as error:
            pytest.fail(f"make test: {error}", pytrace=False)
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(stack.postgres.directory, ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def administrator(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    """A connection that can create databases."""
    connection = await asyncpg.connect(stack.postgres.dsn())
    yield connection
    await connection.close()


@pytest.fixture
async def empty_database(stack: Stack, administrator: asyncpg.Connection) -> AsyncIterator[str]:
    """The name of a database with nothing in it."""
    name = f"test_{uuid4().hex}"
    await administrator.execute(f"CREATE DATABASE {name}")
    yield name
    await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(stack: Stack, administrator: asyncpg.Connection) -> AsyncIterator[str]:
    """The name of a migrated database: a copy of one that was migrated by the command."""
    if not await administrator.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", TEMPLATE):
        await administrator.execute(f"CREATE DATABASE {TEMPLATE}")
        result = run_to_end("migrate", environment=stack.environment(TEMPLATE))
        assert result.returncode == 0, result.stderr
    name = f"test_{uuid4().hex}"
    await administrator.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield name
    await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def vhost(stack: Stack) -> Iterator[str]:
    """The name of a virtual host of its own."""
    name = f"test-{uuid4().hex}"
    stack.rabbitmq.add_vhost(name)
    yield name
    stack.rabbitmq.delete_vhost(name)


@pytest.fixture
async def place(stack: Stack, vhost: str, empty_database: str) -> AsyncIterator[Place]:
    """A virtual host and a schema on servers that are there."""
    urls = stack.rabbitmq.url(vhost), stack.postgres.dsn(empty_database)
    async with given_place(*urls, "quorum", Screen(Console(quiet=True))) as place:
        yield place


@pytest.fixture
async def tables(stack: Stack, empty_database: str) -> AsyncIterator[Database]:
    """A schema, and no broker."""
    dsn = stack.postgres.dsn(empty_database)
    async with GivenDatabase(dsn, Screen(Console(quiet=True))) as database:
        yield database


@pytest.fixture
def environment(stack: Stack, database: str, vhost: str) -> dict[str, str]:
    """The service's settings for one test."""
    return {
        **stack.environment(database, vhost),
        "BILLING_CONFIG": "/dev/null",
        "BILLING_HTTP_PORT": "0",
        "BILLING_WORKERS": "2",
        "BILLING_DLR_FLUSH_MS": "20",
        "BILLING_BILL_FLUSH_MS": "20",
        "BILLING_PARKING_PART_GRACE": "1",
    }


@pytest.fixture
async def database_link(environment: dict[str, str]) -> AsyncIterator[Proxy]:
    """What the service reaches the database through."""
    url = urlsplit(environment["BILLING_DATABASE_URL"])
    async with Proxy(url.port or 0) as proxy:
        host = url.netloc.rpartition(":")[0]
        environment["BILLING_DATABASE_URL"] = url._replace(netloc=f"{host}:{proxy.port}").geturl()
        yield proxy


@pytest.fixture
async def broker_link(environment: dict[str, str]) -> AsyncIterator[Proxy]:
    """What the service reaches the broker through."""
    async with Proxy(int(environment["BILLING_JASMIN_AMQP_PORT"])) as proxy:
        environment["BILLING_JASMIN_AMQP_PORT"] = str(proxy.port)
        yield proxy


@pytest.fixture
async def start(
    environment: dict[str, str], tmp_path: Path
) -> AsyncIterator[Callable[..., Service]]:
    """A function that starts the service, with settings changed by keyword."""
    services: list[Service] = []

    def start(**settings: str) -> Service:
        changed = environment | {f"BILLING_{name}": value for name, value in settings.items()}
        service = Service(changed, tmp_path / f"service-{len(services)}.log")
        services.append(service)
        return service.start()

    yield start
    for service in services:
        service.kill_all()


@pytest.fixture
async def gateway(stack: Stack, database: str, vhost: str) -> AsyncIterator[Gateway]:
    """The other side: with an account, and Jasmin's exchanges declared."""
    async with Gateway(stack.rabbitmq.url(vhost), stack.postgres.dsn(database)) as gateway:
        await gateway.add_account()
        yield gateway
