"""The test bed: RabbitMQ, PostgreSQL, Redis, Jasmin, the operator, the tap and the service."""

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
from bench.gateway.books import TIMEZONE, Books
from bench.gateway.cdrs import write_account
from bench.gateway.provision import provision
from bench.gateway.sms import ACCOUNTS
from bench.gateway.tap import Tap
from bench.smsc.smsc import Smsc
from bench.stack import Stack, StackError
from bench.stack.jasmin import Jasmin
from bench.stack.process import free_port
from bench.stack.program import ProgramFailed
from bench.stack.redis import Redis

DATABASE: Final = "gateway"
RETRIES: Final = 3
"""How often Jasmin submits at most what the operator cannot take just now."""
SETTLE_SECONDS: Final = 5
OUTAGE_SECONDS: Final = 10
"""How long a kill may hold up a message that is being tried again: it must not be refunded then."""

_BIND_SECONDS: Final = 60.0
_READY_SECONDS: Final = 90.0
_RETRIED: Final = ("ESME_RTHROTTLED", "ESME_RMSGQFUL", "ESME_RSYSERR")
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
class Bed:
    """What a run works with."""

    stack: Stack
    jasmin: Jasmin
    smsc: Smsc
    tap: Tap
    books: Books
    keeper: Keeper
    pool: asyncpg.Pool
    http: aiohttp.ClientSession

    def check(self) -> None:
        """Raise StackError or ProgramFailed when Jasmin or the service has ended by itself."""
        if not self.jasmin.running:
            raise StackError(f"Jasmin has ended; see {self.jasmin.log}")
        self.keeper.life.check()

    async def bound(self, again: int = 1) -> None:
        """Wait until Jasmin has bound to the operator for so many times, and still is.

        Raises:
            StackError: it does not within a minute.
        """
        deadline = time.monotonic() + _BIND_SECONDS
        while not self.smsc.is_bound or self.smsc.binds < again:
            if time.monotonic() > deadline:
                raise StackError(f"Jasmin does not bind; see {self.jasmin.directory / 'logs'}")
            await asyncio.sleep(0.05)

    async def kill_jasmin(self) -> None:
        """Kill Jasmin, start it again, and wait until it has bound."""
        binds = self.smsc.binds
        await asyncio.to_thread(self.jasmin.kill)
        await asyncio.to_thread(self.jasmin.start)
        await self.bound(binds + 1)

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
    redis = Redis(place / "redis")
    jasmin = Jasmin(
        place / "jasmin",
        stack.rabbitmq,
        redis,
        settings=_jasmin_settings(split),
        timezone=TIMEZONE,
    )
    await _create_database(stack)
    settings = {**stack.environment(DATABASE), **_SETTINGS, **books.variables}
    settings["BILLING_REFUND_SETTLE"] = str(settle)
    await asyncio.to_thread(ServiceProcess(settings, place / "migrate.log").migrate)
    keeper = Keeper(settings, place, PROJECT)
    port = free_port()
    try:
        async with (
            aiohttp.ClientSession() as http,
            asyncpg.create_pool(stack.postgres.dsn(DATABASE), min_size=1) as pool,
            Smsc(port) as smsc,
            Tap.open(stack.rabbitmq.url()) as tap,
        ):
            for account in ACCOUNTS:
                await write_account(pool, account)
            bed = Bed(stack, jasmin, smsc, tap, books, keeper, pool, http)
            tell("starting billing-service")
            keeper.start()
            await bed.consuming()
            tell("starting Redis and Jasmin")
            await asyncio.to_thread(redis.start)
            await asyncio.to_thread(jasmin.start)
            await asyncio.to_thread(provision, jasmin, port)
            await bed.bound()
            tell("Jasmin has bound to the operator")
            yield bed
    finally:
        keeper.kill_all()
        jasmin.stop()
        redis.stop()


def _jasmin_settings(split: str) -> dict[str, dict[str, str]]:
    # A connector takes no other message while it waits to submit one again.
    retried = {status: {"count": RETRIES, "delay": 0.1} for status in _RETRIED}
    return {
        "http-api": {"long_content_split": split},
        "sm-listener": {
            "submit_error_retrial": str(retried),
            "submit_retrial_delay_smppc_not_ready": "1",
        },
        "dlr": {"dlr_lookup_retry_delay": "1"},
        "router": {"persistence_timer_secs": "1"},
    }


async def _create_database(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.postgres.dsn())
    try:
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
