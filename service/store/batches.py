"""One batch, one transaction; a row at fault is found by halving and costs only itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from service.broker.delivery import Delivery
from service.ops import metrics
from service.store import parking
from service.store.errors import OUTAGES
from service.store.outcomes import Effects, Outcome
from service.store.sql import statement

if TYPE_CHECKING:
    import asyncpg

    from service.store.circuit import Circuit
    from service.store.pool import Connection

E = TypeVar("E")
T = TypeVar("T")
R = TypeVar("R")


class Arrival(msgspec.Struct, Generic[E], frozen=True, gc=False):
    """A delivery and what it says."""

    delivery: Delivery
    event: E


class Writer(Protocol[E]):
    """Applies the events of one stream. What is applied again changes nothing."""

    stream: str

    async def apply(
        self, connection: Connection, events: Sequence[E], *, guess: bool = False
    ) -> Effects:
        """Apply events in the caller's transaction; say what became of each."""

    async def log(self, connection: Connection, arrivals: Sequence[Arrival[E]]) -> None:
        """Append what is kept of every arrival, in the same transaction."""

    def keys(self, event: E) -> parking.Keys:
        """Return what a parked event waits for."""


class Batches(Generic[E]):
    """Writes the batches of one stream."""

    def __init__(self, pool: asyncpg.Pool, writer: Writer[E], circuit: Circuit) -> None:
        self._pool = pool
        self._circuit = circuit
        self.writer = writer

    async def write(self, arrivals: Sequence[Arrival[E]]) -> list[Outcome | Exception]:
        """Commit a batch, holding it for as long as the database is away.

        Returns:
            One outcome for each arrival, or the error for which the database refused just it.
        """
        if not arrivals:
            return []
        return await self._circuit.run(lambda: self._write(arrivals))

    async def _write(self, arrivals: Sequence[Arrival[E]]) -> list[Outcome | Exception]:
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                effects = await self._apply(connection, arrivals)
            count_money(effects.moved)
            return list(effects.outcomes)
        except OUTAGES:
            raise
        except Exception as error:
            return await self._write_apart(arrivals, error)

    async def _write_apart(
        self, arrivals: Sequence[Arrival[E]], error: Exception
    ) -> list[Outcome | Exception]:
        """Commit what can be, after all of it together has failed.

        One transaction with a savepoint for each part: a commit for each would cost more than
        the parts themselves.
        """
        moved: Counter[str] = Counter()

        async def write(part: Sequence[Arrival[E]]) -> list[Outcome]:
            async with connection.transaction():
                effects = await self._apply(connection, part)
            moved.update(effects.moved)
            return effects.outcomes

        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(statement("check_at_once"))
            results = await apart(write, arrivals, error)
        count_money(moved)
        return results

    async def _apply(self, connection: Connection, arrivals: Sequence[Arrival[E]]) -> Effects:
        effects = await self.writer.apply(connection, [a.event for a in arrivals])
        if Outcome.PARKED in effects.outcomes:
            early = [
                (arrival.delivery.message, self.writer.keys(arrival.event))
                for arrival, outcome in zip(arrivals, effects.outcomes, strict=True)
                if outcome is Outcome.PARKED
            ]
            await parking.park(connection, self.writer.stream, early)
        await self.writer.log(connection, arrivals)
        return effects


def count_money(moved: Counter[str]) -> None:
    """Tell the metrics what was booked and committed."""
    for kind, count in moved.items():
        metrics.MONEY.labels(kind).inc(count)


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
        return await apart(write, items, error)


async def apart(
    write: Callable[[Sequence[T]], Awaitable[Sequence[R]]], items: Sequence[T], error: Exception
) -> list[R | Exception]:
    """Write the halves of what has failed together with ``error``; as :func:`isolating`."""
    if len(items) == 1:
        return [error]
    half = len(items) // 2
    return await isolating(write, items[:half]) + await isolating(write, items[half:])
