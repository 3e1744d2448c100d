"""One batch, one transaction; a row at fault is found by halving and costs only itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from service.broker.deliveries import Delivery
from service.store import parking
from service.store.errors import OUTAGES
from service.store.outcomes import Outcome

if TYPE_CHECKING:
    import asyncpg

    from service.store.pool import Connection

E = TypeVar("E")
T = TypeVar("T")
R = TypeVar("R")


class Arrival(NamedTuple, Generic[E]):
    """A delivery and what it says."""

    delivery: Delivery
    event: E


class Writer(Protocol[E]):
    """Applies the events of one stream. What is applied again changes nothing."""

    stream: str

    async def apply(
        self, connection: Connection, events: Sequence[E], *, guess: bool = False
    ) -> list[Outcome]:
        """Apply events in the caller's transaction; return one outcome for each."""

    async def log(self, connection: Connection, arrivals: Sequence[Arrival[E]]) -> None:
        """Append what is kept of every arrival, in the same transaction."""

    def keys(self, event: E) -> parking.Keys:
        """Return what a parked event waits for."""


class Batches(Generic[E]):
    """Writes the batches of one stream."""

    def __init__(self, pool: asyncpg.Pool, writer: Writer[E]) -> None:
        self._pool = pool
        self._writer = writer

    async def write(self, arrivals: Sequence[Arrival[E]]) -> list[Outcome | Exception]:
        """Commit a batch.

        Returns:
            One outcome for each arrival, or the error for which the database refused just it.

        Raises:
            One of ``errors.OUTAGES``: the database cannot take anything now; try all again.
        """
        return await isolating(self._commit, arrivals)

    async def _commit(self, arrivals: Sequence[Arrival[E]]) -> list[Outcome]:
        async with self._pool.acquire() as connection, connection.transaction():
            outcomes = await self._writer.apply(connection, [a.event for a in arrivals])
            early = [
                (arrival.delivery.message, self._writer.keys(arrival.event))
                for arrival, outcome in zip(arrivals, outcomes, strict=True)
                if outcome is Outcome.PARKED
            ]
            if early:
                await parking.park(connection, self._writer.stream, early)
            await self._writer.log(connection, arrivals)
        return outcomes


async def isolating(
    write: Callable[[Sequence[T]], Awaitable[Sequence[R]]], items: Sequence[T]
) -> list[R | Exception]:
    """Write items together; where that fails, in halves, until those at fault stand alone.

    Args:
        write: writes all that it is given or nothing, and returns a result for each.
        items: what to write.

    Returns:
        For each item its result, or the error that it alone caused.

    Raises:
        One of ``errors.OUTAGES``: no item's fault.
    """
    if not items:
        return []
    try:
        return list(await write(items))
    except OUTAGES:
        raise
    except Exception as error:
        if len(items) == 1:
            return [error]
    half = len(items) // 2
    return await isolating(write, items[:half]) + await isolating(write, items[half:])
