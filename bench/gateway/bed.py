"""The test bed: the site, the service that settles what it publishes, and its servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg

from bench import PROJECT
from bench.chaos.keeper import Keeper
from bench.demo.process import ServiceProcess
from bench.gateway.books import Books
from bench.gateway.site import Site, open_site
from bench.stack import Stack
from bench.stack.program import ProgramFailed

DATABASE: Final = "gateway"
SETTLE_SECONDS: Final = 5
OUTAGE_SECONDS: Final = 10
"""How long a kill may hold up a message that is being tried again: it must not be refunded then."""

_READY_SECONDS: Final = 90.0
_SETTINGS: Final = {
    "BILLING_CONFIG": "/dev/null",
    "BILLING_HTTP_PORT": "0",
    "BILLING_LOG_FORMAT": "json",
    "BILLING_WORKERS": "2",
    "BILLING_REFUND_RECEIPTS": '["rejected"]',
    # So short that a run of a minute gets to see what they do.
    "BILLING_PARKING_GUESS_GRACE": "3",
    "BILLING_PARKING_PART_GRACE": "5",
    "BILLING_SHUTDOWN_TIMEOUT": "10",
}


@dataclass(frozen=True)
class Bed(Site):
    """What a run works with."""

    stack: Stack
    keeper: Keeper
    http: aiohttp.ClientSession

    def check(self) -> None:
        """Raise StackError or ProgramFailed when Jasmin or the service has ended by itself."""
        super().check()
        self.keeper.life.check()

    async def kill_service(self) -> None:
        """Kill supervisor and workers, start them again, and wait until they consume."""
        self.keeper.life.kill_group()
        self.keeper.start()
        await self.consuming()

    async def consuming(self) -> None:
        """Wait until every worker consumes. Raises ProgramFailed when that takes too long."""
        deadline = time.monotonic() + _READY_SECONDS
        while not await self.keeper.is_ready(self.http):
            self.keeper.life.check()
            if time.monotonic() > deadline:
                raise ProgramFailed(f"billing-service is not ready after {_READY_SECONDS:.0f} s")
            await asyncio.sleep(0.1)
            for _ in self.keeper.life.read_log():
                pass  # it says where to ask


@asynccontextmanager
async def make_bed(
    stack: Stack,
    place: Path,
    split: str,
    books: Books,
    tell: Callable[[str], None],
    *,
    settle: int,
) -> AsyncIterator[Bed]:
    """Start what is missing beside RabbitMQ and PostgreSQL, and tell Jasmin what to do.

    Args:
        stack: running servers.
        place: where the others work, and logs go.
        split: how Jasmin marks the parts of long messages, ``udh`` or ``sar``.
        books: who writes CDRs.
        tell: is given a line for each step.
        settle: seconds after which a message is refunded that is not tried again.

    Raises:
        StackError: a server cannot be installed or started, or Jasmin does not bind.
        ProgramFailed: the service cannot migrate or does not become ready.
    """
    await asyncio.to_thread(stack.postgres.create_database, DATABASE)
    settings = {**stack.environment(DATABASE), **_SETTINGS, **books.variables}
    settings["BILLING_REFUND_SETTLE"] = str(settle)
    await asyncio.to_thread(ServiceProcess(settings, place / "migrate.log").migrate)
    keeper = Keeper(settings, place, PROJECT)
    async with (
        aiohttp.ClientSession() as http,
        asyncpg.create_pool(stack.postgres.dsn(DATABASE), min_size=1) as pool,
        open_site(stack.rabbitmq, place, books, pool, tell, split=split) as site,
    ):
        bed = Bed(**vars(site), stack=stack, keeper=keeper, http=http)
        try:
            tell("starting billing-service")
            keeper.start()
            await bed.consuming()
            yield bed
        finally:
            keeper.kill_all()
