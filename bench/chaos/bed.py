"""The test bed: private servers behind proxies, the service, and who writes, sends and watches."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from bench.chaos.gateway import Gateway
from bench.chaos.keeper import Keeper
from bench.chaos.observer import Observer
from bench.chaos.plan import AddAccount, AddCdr, Event, Step
from bench.chaos.proxy import Proxy
from bench.chaos.publisher import Publisher
from bench.chaos.rig import DATABASE, Rig
from bench.chaos.rubbish import Rubbish
from bench.chaos.storm import Struck
from bench.demo.process import ServiceProcess
from bench.stack import Stack

SETTLE_SECONDS: Final = 5
GUESS_SECONDS: Final = 5
HEARTBEAT_SECONDS: Final = 5
# Of the service, in every run.
SETTINGS: Final = {
    "BILLING_CONFIG": "/dev/null",
    "BILLING_HTTP_PORT": "0",
    "BILLING_LOG_FORMAT": "json",
    # So short that a run of some minutes gets to see what they do.
    "BILLING_JASMIN_AMQP_HEARTBEAT": str(HEARTBEAT_SECONDS),
    "BILLING_DATABASE_COMMAND_TIMEOUT": "5",
    "BILLING_PARKING_GUESS_GRACE": str(GUESS_SECONDS),
    "BILLING_PARKING_PART_GRACE": "6",
    "BILLING_SHUTDOWN_TIMEOUT": "10",
    # What the model reckons with.
    "BILLING_REFUND_SETTLE": str(SETTLE_SECONDS),
    "BILLING_REFUND_RECEIPTS": '["rejected"]',
    "BILLING_REFUND_AFTER_DELIVERY": "reverse",
}


@dataclass(frozen=True)
class Bed:
    """What a scenario works with."""

    rig: Rig
    gateway: Gateway
    publisher: Publisher
    observer: Observer
    struck: list[Struck]

    def feed(self, steps: Sequence[Step]) -> Iterator[Event | Rubbish]:
        """Yield what is to be published; what is to be written goes to the gateway meanwhile."""
        return feed(steps, self.gateway)


def feed(steps: Sequence[Step], gateway: Gateway) -> Iterator[Event | Rubbish]:
    """Yield what is to be published; what is to be written goes to the gateway meanwhile."""
    for step in steps:
        if isinstance(step, AddCdr | AddAccount):
            gateway.write([step])
        else:
            yield step


@asynccontextmanager
async def make_bed(
    stack: Stack,
    place: Path,
    seed: int,
    *,
    code: Path,
    rate: float,
    brake: int,
    debits: bool,
    settings: Mapping[str, str],
) -> AsyncIterator[Bed]:
    """Migrate, start the service behind proxies, and all who look after the run.

    Args:
        stack: running servers.
        place: where the logs go.
        seed: for whoever chooses a victim.
        code: the directory that has the package ``service``.
        rate: publications per second.
        brake: how long a queue may get before the publisher waits.
        debits: the service takes what is charged, in charge mode ``debit``.
        settings: of the service, besides those that every run has.

    Raises:
        ProgramFailed: it cannot migrate or does not become ready.
    """
    await asyncio.to_thread(stack.postgres.create_database, DATABASE)
    async with Proxy(stack.rabbitmq.port) as broker, Proxy(stack.postgres.port) as database:
        variables = {
            **stack.environment(DATABASE),
            **SETTINGS,
            **settings,
            "BILLING_BILL_CHARGE_MODE": "debit" if debits else "confirm",
            **_by_way_of(broker, database, stack),
        }
        await asyncio.to_thread(ServiceProcess(variables, place / "migrate.log", code).migrate)
        keeper = Keeper(variables, place, code)
        rig = Rig(stack, broker, database, keeper, random.Random(f"victims {seed}"))  # noqa: S311
        struck: list[Struck] = []
        observer = Observer(
            [keeper], stack.rabbitmq.queues, rig.connect, lambda: struck, debits=debits
        )
        gateway = Gateway(stack.postgres.dsn(DATABASE))
        publisher = Publisher(
            stack.rabbitmq.url(), rate=rate, may_send=lambda: observer.depth < brake
        )
        keeper.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(observer.run(), name="observer"),
                    tasks.create_task(gateway.run(), name="gateway"),
                ]
                async with aiohttp.ClientSession() as http:
                    await keeper.ready(http)
                yield Bed(rig, gateway, publisher, observer, struck)
                for task in background:
                    task.cancel()
        finally:
            keeper.kill_all()


def _by_way_of(broker: Proxy, database: Proxy, stack: Stack) -> dict[str, str]:
    """Return the settings that lead the service to its servers by way of the proxies."""
    dsn = stack.postgres.dsn(DATABASE)
    return {
        "BILLING_JASMIN_AMQP_PORT": str(broker.port),
        "BILLING_DATABASE_URL": dsn.replace(f":{urlsplit(dsn).port}/", f":{database.port}/"),
    }


async def reconcile(bed: Bed) -> tuple[int, str]:
    """Run ``billing-service reconcile``, past the proxy; return its exit code and output."""
    return await asyncio.to_thread(
        bed.rig.keeper.run_command, bed.rig.stack.postgres.dsn(DATABASE), "reconcile"
    )
