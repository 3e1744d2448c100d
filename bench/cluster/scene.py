"""The scene: a cluster, a database, two hosts with the service, and who writes, sends, watches."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import asyncpg

from bench import PROJECT
from bench.chaos.bed import SETTINGS
from bench.chaos.gateway import Gateway
from bench.chaos.keeper import Keeper
from bench.chaos.observer import Observer
from bench.chaos.proxy import Proxy
from bench.chaos.publisher import Publisher
from bench.chaos.rig import DATABASE
from bench.demo.process import ServiceProcess
from bench.stack.cluster import ClusterStack

# The service's queues take 100,000 messages and push the oldest out.
_BRAKE: Final = 90_000


@dataclass(frozen=True)
class Host:
    """A machine with the service on it, as far as one machine can play several.

    Attributes:
        name: for who watches.
        keeper: its supervisor.
        links: its network: to each node of the cluster and to the database.
    """

    name: str
    keeper: Keeper
    links: Sequence[Proxy]

    def cut(self) -> None:
        """Let no packet through any more, without a word to either side."""
        for link in self.links:
            link.blackhole()

    def heal(self) -> None:
        """Let everything through again; connections of before are gone."""
        for link in self.links:
            link.cut()
            link.resume()


@dataclass(frozen=True)
class Scene:
    """What the story works with."""

    servers: ClusterStack
    hosts: Sequence[Host]
    gateway: Gateway
    publisher: Publisher
    observer: Observer

    async def connect(self) -> asyncpg.Connection:
        """Connect to the service's database, past the hosts' networks."""
        return await _connect(self.servers)


@asynccontextmanager
async def make_scene(
    servers: ClusterStack, place: Path, *, rate: float, workers: int
) -> AsyncIterator[Scene]:
    """Migrate, start the service on two hosts, and all who look after the run.

    Raises:
        ProgramFailed: it cannot migrate or does not become ready.
    """
    await asyncio.to_thread(servers.postgres.create_database, DATABASE)
    dsn = servers.postgres.dsn(DATABASE)
    async with AsyncExitStack() as networks:
        hosts = [
            await _make_host(servers, networks, place / name, workers)
            for name in ("host-1", "host-2")
        ]
        migration = SETTINGS | {"BILLING_DATABASE_URL": dsn}
        await asyncio.to_thread(ServiceProcess(migration, place / "migrate.log").migrate)
        observer = Observer(
            [host.keeper for host in hosts],
            servers.rabbitmq.queues,
            lambda: _connect(servers),
            list,
        )
        gateway = Gateway(dsn)
        publisher = Publisher(
            *(node.url() for node in servers.rabbitmq.nodes),
            rate=rate,
            may_send=lambda: observer.depth < _BRAKE,
        )
        try:
            for host in hosts:
                host.keeper.start()
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(observer.run(), name="observer"),
                    tasks.create_task(gateway.run(), name="gateway"),
                    *(tasks.create_task(host.keeper.run(), name=host.name) for host in hosts),
                ]
                async with aiohttp.ClientSession() as http:
                    for host in hosts:
                        await host.keeper.ready(http)
                yield Scene(servers, hosts, gateway, publisher, observer)
                for task in background:
                    task.cancel()
        finally:
            for host in hosts:
                host.keeper.kill_all()


async def _make_host(
    servers: ClusterStack, networks: AsyncExitStack, place: Path, workers: int
) -> Host:
    """Lay the network of a host, and prepare its supervisor."""
    nodes = [
        await networks.enter_async_context(Proxy(node.port)) for node in servers.rabbitmq.nodes
    ]
    database = await networks.enter_async_context(Proxy(servers.postgres.port))
    keeper = _keeper(servers, nodes, database, place, workers)
    return Host(place.name, keeper, [*nodes, database])


def _keeper(
    servers: ClusterStack, nodes: Sequence[Proxy], database: Proxy, place: Path, workers: int
) -> Keeper:
    place.mkdir()
    dsn = servers.postgres.dsn(DATABASE)
    variables = {
        **SETTINGS,
        "BILLING_WORKERS": str(workers),
        "BILLING_JASMIN_AMQP_HOST": ",".join(f"127.0.0.1:{node.port}" for node in nodes),
        "BILLING_JASMIN_AMQP_USER": servers.rabbitmq.nodes[0].user,
        "BILLING_JASMIN_AMQP_PASSWORD": servers.rabbitmq.nodes[0].password,
        "BILLING_DATABASE_URL": dsn.replace(f":{urlsplit(dsn).port}/", f":{database.port}/"),
    }
    return Keeper(variables, place, PROJECT)


async def _connect(servers: ClusterStack) -> asyncpg.Connection:
    return await asyncpg.connect(servers.postgres.dsn(DATABASE), timeout=5, command_timeout=60)
