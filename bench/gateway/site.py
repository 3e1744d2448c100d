"""The site: a Jasmin with its Redis, the operator behind it, and the tap on what it publishes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from bench.gateway.books import TIMEZONE, Books
from bench.gateway.cdrs import write_account
from bench.gateway.provision import provision
from bench.gateway.sms import ACCOUNTS
from bench.gateway.tap import Tap
from bench.smsc.smsc import Smsc
from bench.stack import RabbitMQ, StackError
from bench.stack.jasmin import Jasmin
from bench.stack.process import free_port
from bench.stack.redis import Redis

RETRIED: Final = ("ESME_RTHROTTLED", "ESME_RMSGQFUL", "ESME_RSYSERR")
"""Answers of the operator after which Jasmin submits once more."""

# How often Jasmin submits at most what the operator cannot take just now.
_RETRIES: Final = 3
_BIND_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Site:
    """All that publishes for the service; ``pool`` is of the database that has the accounts."""

    jasmin: Jasmin
    smsc: Smsc
    tap: Tap
    books: Books
    pool: asyncpg.Pool

    def check(self) -> None:
        """Raise StackError when Jasmin has ended by itself."""
        if not self.jasmin.running:
            raise StackError(f"Jasmin has ended; see {self.jasmin.log}")

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


@asynccontextmanager
async def open_site(
    rabbitmq: RabbitMQ,
    place: Path,
    books: Books,
    pool: asyncpg.Pool,
    tell: Callable[[str], None],
    *,
    split: str = "udh",
) -> AsyncIterator[Site]:
    """Start it all, write the accounts, and tell Jasmin who may send and where to.

    Args:
        rabbitmq: runs, and has never seen a Jasmin.
        place: where they work, and logs go.
        books: who writes CDRs.
        pool: of a database that has the tables, but none of the accounts.
        tell: is given a line for each step.
        split: how Jasmin marks the parts of long messages, ``udh`` or ``sar``.

    Raises:
        StackError: a server cannot be installed or started, or Jasmin does not bind.
    """
    redis = Redis(place / "redis")
    settings = _jasmin_settings(split)
    jasmin = Jasmin(place / "jasmin", rabbitmq, redis, settings=settings, timezone=TIMEZONE)
    port = free_port()
    try:
        async with Smsc(port) as smsc, Tap.open(rabbitmq.url()) as tap:
            site = Site(jasmin, smsc, tap, books, pool)
            for account in ACCOUNTS:
                await write_account(pool, account)
            tell("starting Redis and Jasmin")
            await asyncio.to_thread(redis.start)
            await asyncio.to_thread(jasmin.start)
            await asyncio.to_thread(provision, jasmin, port)
            await site.bound()
            tell("Jasmin has bound to the operator")
            yield site
    finally:
        jasmin.stop()
        redis.stop()


def _jasmin_settings(split: str) -> dict[str, dict[str, str]]:
    # A connector takes no other message while it waits to submit one again.
    retried = {status: {"count": _RETRIES, "delay": 0.1} for status in RETRIED}
    return {
        "http-api": {"long_content_split": split},
        "sm-listener": {
            "submit_error_retrial": str(retried),
            "submit_retrial_delay_smppc_not_ready": "1",
        },
        "dlr": {"dlr_lookup_retry_delay": "1"},
        "router": {"persistence_timer_secs": "1"},
    }
