"""A circuit breaker: while the database is away, nothing but a ping asks for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Final, TypeVar

from service import retry
from service.ops import metrics
from service.outage import Outage
from service.store.errors import OUTAGES

R = TypeVar("R")

# So that consuming goes on within moments of the database's return.
LONGEST_DELAY_SECONDS: Final = 2.0


class State(IntEnum):
    """CLOSED: all is well. OPEN: the database is away. HALF_OPEN: being asked again just now."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Circuit:
    """Shared by all that asks the database in one process.

    Args:
        ping: asks the database for nothing; raises one of ``errors.OUTAGES`` while it is away.
        server: where the database is, for the log.
    """

    def __init__(self, ping: Callable[[], Awaitable[object]], server: str) -> None:
        self._ping = ping
        self._outage = Outage("PostgreSQL", server)
        self._probing = asyncio.Lock()
        self._state = State.CLOSED
        self.closed_at = time.monotonic()
        """Monotonic time since which all is well, as far as it is."""
        metrics.CIRCUIT_OPEN.set(0)

    @property
    def state(self) -> State:
        """Whether work is let through."""
        return self._state

    async def run(self, work: Callable[[], Awaitable[R]]) -> R:
        """Do ``work``; where the database fails it, do it again until it does not.

        What the database answers to a ping meanwhile tells whether it is away, and the circuit
        open for everybody; or whether just this work is in trouble: a deadlock, a row that
        somebody else keeps locked.

        Raises:
            Exception: of ``work``, if it is none of ``errors.OUTAGES``.
        """
        async for attempt in retry.patiently(
            "PostgreSQL did not take it", OUTAGES, longest=LONGEST_DELAY_SECONDS
        ):
            with attempt:
                if self._state is not State.CLOSED:
                    await self.probe()
                try:
                    return await work()
                except OUTAGES:
                    await self.probe()
                    raise
        raise AssertionError("attempts never end")

    async def probe(self) -> None:
        """Return once the database answers; one caller asks, with backoff, and all others wait."""
        async with self._probing:
            async for attempt in retry.patiently(
                self._outage, OUTAGES, longest=LONGEST_DELAY_SECONDS
            ):
                with attempt:
                    await self._ask()

    def doubt(self) -> None:
        """Let nothing through until the database has answered."""
        self._set(State.OPEN)

    async def _ask(self) -> None:
        if self._state is State.OPEN:
            self._set(State.HALF_OPEN)
        try:
            await self._ping()
        except (*OUTAGES, asyncio.CancelledError):
            self._set(State.OPEN)
            raise
        self._set(State.CLOSED)

    def _set(self, state: State) -> None:
        if state is State.CLOSED and self._state is not State.CLOSED:
            self._outage.ends()
            self.closed_at = time.monotonic()
        if state is State.OPEN and self._state is State.CLOSED:
            metrics.CIRCUIT_OPENED.inc()
        self._state = state
        metrics.CIRCUIT_OPEN.set(state is not State.CLOSED)
