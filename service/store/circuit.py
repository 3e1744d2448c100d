"""A circuit breaker: while the database is away, one attempt at a time looks for its return."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Final, TypeVar

import structlog

from service import retry
from service.ops import metrics
from service.store.errors import OUTAGES, describe

R = TypeVar("R")

# So that consuming goes on within moments of the database's return.
LONGEST_DELAY_SECONDS: Final = 2.0

log = structlog.get_logger()


class State(IntEnum):
    """CLOSED: all is well. OPEN: the database is away. HALF_OPEN: being tried again just now."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Circuit:
    """Shared by all that writes in one process."""

    def __init__(self) -> None:
        self._trial = asyncio.Lock()
        self._state = State.CLOSED
        metrics.CIRCUIT_OPEN.set(0)

    @property
    def state(self) -> State:
        """Whether work is let through."""
        return self._state

    async def run(self, work: Callable[[], Awaitable[R]], sleep: retry.Sleep = asyncio.sleep) -> R:
        """Do ``work``, and where the database is away, do it again until it is not.

        A first failure (a deadlock, a connection that was cut) is tried again at once; the second
        one opens the circuit. While it is open one caller tries, with backoff, and all others
        wait for what becomes of that.

        Args:
            work: what to do; it may be done several times.
            sleep: waits that many seconds, or raises to give up.

        Raises:
            Exception: of ``work``, if it is none of ``errors.OUTAGES``.
        """
        if self._state is State.CLOSED:
            try:
                return await work()
            except OUTAGES as error:
                log.warning("PostgreSQL failed; trying again", error=describe(error))
        async with self._trial:
            attempts = retry.patiently(
                "PostgreSQL is away", OUTAGES, sleep, longest=LONGEST_DELAY_SECONDS
            )
            async for attempt in attempts:
                with attempt:
                    return await self._attempt(work)
        raise AssertionError("attempts never end")

    async def _attempt(self, work: Callable[[], Awaitable[R]]) -> R:
        if self._state is State.OPEN:
            self._set(State.HALF_OPEN)
        try:
            result = await work()
        except (*OUTAGES, asyncio.CancelledError):
            self._set(State.OPEN)
            raise
        self._set(State.CLOSED)
        return result

    def _set(self, state: State) -> None:
        if state is State.CLOSED and self._state is not State.CLOSED:
            log.info("PostgreSQL is back")
        if state is State.OPEN and self._state is State.CLOSED:
            metrics.CIRCUIT_OPENED.inc()
        self._state = state
        metrics.CIRCUIT_OPEN.set(state is not State.CLOSED)
