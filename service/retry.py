"""Patience with what is away: exponential backoff with jitter, told to the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
import tenacity

from service.outage import Outage

Sleep = Callable[[float], Awaitable[None]]

FIRST_SECONDS = 0.2
LIMIT_SECONDS = 10.0

log = structlog.get_logger()


class Stopped(Exception):
    """It is time to stop, and so to wait for nothing any more."""


def unless_stopped(stop: asyncio.Event) -> Sleep:
    """Return a sleep for :func:`patiently` that raises Stopped as soon as ``stop`` is set."""

    async def sleep(seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
            raise Stopped

    return sleep


def patiently(
    what: str | Outage,
    errors: tuple[type[BaseException], ...],
    sleep: Sleep = asyncio.sleep,
    *,
    unless: tuple[type[BaseException], ...] = (),
    longest: float = LIMIT_SECONDS,
) -> tenacity.AsyncRetrying:
    """Return attempts without end: ``async for attempt in patiently(…): with attempt: …``.

    Args:
        what: what has happened, for the log, which is told each time: "worker-1 died young"; or
            the outage, which is told each time and itself tells the log.
        errors: these are waited out; anything else goes up at once.
        sleep: waits that many seconds.
        unless: of ``errors``, those that go up at once all the same.
        longest: seconds between two attempts at most.
    """

    def is_passing(error: BaseException) -> bool:
        return isinstance(error, errors) and not isinstance(error, unless)

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        delay = state.next_action.sleep if state.next_action else 0.0
        why = str(error).partition("\n")[0] or type(error).__name__
        details = {"attempt": state.attempt_number, "delay_s": round(delay, 2)}
        if isinstance(what, Outage):
            what.goes_on(why, **details)
        else:
            log.error(f"{what}; trying again", error=why, **details)

    return tenacity.AsyncRetrying(
        sleep=sleep,
        wait=tenacity.wait_random_exponential(multiplier=FIRST_SECONDS, max=longest)
        + tenacity.wait_random(0, FIRST_SECONDS),
        retry=tenacity.retry_if_exception(is_passing),
        before_sleep=tell,
        reraise=True,
    )
