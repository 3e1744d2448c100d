"""Looks after what waits in the database: parked events, refunds, rows that are kept for a time.

Every worker runs one. Each step is a transaction of its own, done by whoever holds an advisory
lock meanwhile; the others have at least seen that the database answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from service.broker.dead_letters import Cause, DeadLetter, DeadLetters
from service.broker.errors import OUTAGES as BROKER_OUTAGES
from service.broker.publisher import CONFIRM_SECONDS
from service.broker.topology import STREAMS
from service.events.operator_ids import following_ids
from service.events.records import Event, Receipt, Refused
from service.ops import metrics
from service.pulse import STALE_SECONDS
from service.store import parking
from service.store.batches import count_money, isolating
from service.store.errors import DATA_ERRORS, OUTAGES, describe
from service.store.money import GIVEN_UP, POSTPONED
from service.store.outcomes import Outcome
from service.store.sql import statement

if TYPE_CHECKING:
    import asyncpg

    from service.broker.catching_up import CatchingUp
    from service.settings import Settings
    from service.store.circuit import Circuit
    from service.store.money import Money
    from service.store.parking import Parked
    from service.store.pool import Connection
    from service.stream import Stream

INTERVAL_SECONDS: Final = 1.0
LIMIT: Final = 1000
# A step's transaction idles meanwhile, and PostgreSQL ends one that does so for 15 s.
DECODE_SECONDS: Final = 5.0
EIGHTHS: Final = 8  # as claim_parked.sql has it
PURGE_SECONDS: Final = 60.0
PURGE_ROWS: Final = 10_000
# A long message may have 255 parts, but ids that far apart are no longer evidence.
FURTHEST_PART: Final = 9

log = structlog.get_logger()


class Sweeper:
    """Applies, links and expires parked events; purges what has been kept long enough.

    Args:
        pool: connections to the database.
        settings: times to wait and to keep.
        streams: whose events it looks after.
        money: books the refunds whose time has come.
        circuit: is opened where nothing else notices that the database is away.
        catching_up: knows which refunds may be booked.
        dead_letters: gives the way to the dead queues, or None while the broker is away.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        settings: Settings,
        streams: Sequence[Stream[Any]],
        money: Money,
        *,
        circuit: Circuit,
        catching_up: CatchingUp,
        dead_letters: Callable[[], DeadLetters | None],
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._streams = streams
        self._money = money
        self._circuit = circuit
        self._catching_up = catching_up
        self._dead_letters = dead_letters
        self._round = 0
        self._is_busy = False
        self._is_burying = False
        self._purge_at = 0.0
        self.answered_at = 0.0
        """Monotonic time at which the database last answered."""

    async def run(self) -> None:
        """Sweep about once a second, until cancelled; outages only delay it."""
        while True:
            try:
                await self._circuit.probe()
                await self._sweep()
            except OUTAGES as error:
                self._is_busy = self._is_burying = False
                log.error("sweep failed; trying again", error=describe(error))
            await asyncio.sleep(0 if self._is_busy or self._is_burying else INTERVAL_SECONDS)

    async def _sweep(self) -> None:
        self._is_busy = self._is_burying = False
        self._round += 1
        await self._alone(self._look_for_parts)
        for stream in self._streams:
            await self._alone(partial(self._apply_ready, stream=stream))
            # Not before all that waited out a long stop has been looked at.
            if self._round > EIGHTHS and not self._is_busy:
                await self._alone(partial(self._expire, stream=stream))
        await self._alone(self._refund)
        await self._alone(self._measure)
        if time.monotonic() >= self._purge_at:
            await self._alone(self._purge)

    async def _alone(self, step: Callable[[Connection], Awaitable[Counter[str] | None]]) -> None:
        """Do one step in a transaction, unless another sweeper is at it.

        The step returns what money it moved, which is counted once it is committed.
        """
        moved: Counter[str] | None = None
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(statement("lead_sweep")):
                self._note_answer()
                await connection.execute(statement("check_at_once"))
                moved = await step(connection)
        self._note_answer()
        if moved:
            count_money(moved)

    def _note_answer(self) -> None:
        before, self.answered_at = self.answered_at, time.monotonic()
        if before < max(self._circuit.closed_at, self.answered_at - STALE_SECONDS):
            self._catching_up.start_anew()  # others, too, may hold what they could not write

    async def _apply_ready(self, connection: Connection, stream: Stream[Any]) -> Counter[str]:
        """Apply events whose CDR, link and account have appeared."""
        grace = self._settings.parking.guess_grace
        eighth = self._round % EIGHTHS
        found = await parking.claim_ready(connection, stream.name, LIMIT, eighth, grace)
        moved, kept = await self._apply(connection, stream, found)
        if kept:
            await parking.keep(connection, [parked for parked, _ in kept])
        return moved

    async def _expire(self, connection: Connection, stream: Stream[Any]) -> Counter[str]:
        """Dead-letter what has waited too long, unless it can be applied by now."""
        ttl = self._settings.parking.ttl
        expired = await parking.claim_expired(connection, stream.name, ttl, LIMIT)
        if stream.name == "dlr":
            await self._link_parts(connection, stream, expired)
        moved, kept = await self._apply(connection, stream, expired)
        dead = [(parked, _too_late(parked, ttl, error)) for parked, error in kept]
        buried = await self._bury(connection, stream, dead)
        self._is_burying |= len(expired) == LIMIT and buried > 0
        return moved

    async def _apply(
        self, connection: Connection, stream: Stream[Any], waiting: Sequence[Parked]
    ) -> tuple[Counter[str], list[tuple[Parked, Exception | None]]]:
        """Apply events as if they came now.

        Those that there is no time to decode are left for the next sweep.

        Returns:
            What money moved; and what has to stay, each with the error if it made us fail.
        """
        moved: Counter[str] = Counter()

        async def apply(part: Sequence[Event]) -> list[Outcome]:
            async with connection.transaction():  # a savepoint, in case one of them is at fault
                effects = await stream.writer.apply(connection, part, guess=True)
            moved.update(effects.moved)
            return effects.outcomes

        ready, events, dead = [], [], []
        decoded = await stream.decode([parked.message for parked in waiting], DECODE_SECONDS)
        for parked, event in zip(waiting, decoded, strict=False):
            if isinstance(event, Refused):  # limits were tightened since
                dead.append((parked, DeadLetter(parked.message, str(event))))
            else:
                events.append(event)
                ready.append(parked)
        results = await isolating(apply, events)
        done: list[Parked] = []
        kept: list[tuple[Parked, Exception | None]] = []
        for parked, result in zip(ready, results, strict=True):
            if isinstance(result, DATA_ERRORS):
                reason = f"the database refuses it: {describe(result)}"
                dead.append((parked, DeadLetter(parked.message, reason, Cause.DATABASE)))
            elif isinstance(result, Exception):
                stream.report.failed(result, requeued=False)
                kept.append((parked, result))
            elif result is Outcome.PARKED:
                kept.append((parked, None))
            else:
                done.append(parked)
        await self._bury(connection, stream, dead)
        if done:
            await parking.unpark(connection, done)
            counts = stream.report.events(events, results)
            log.info("parked events applied", stream=stream.name, **counts)
            self._is_busy |= len(waiting) == LIMIT or len(decoded) < len(waiting)
        return moved, kept

    async def _refund(self, connection: Connection) -> Counter[str] | None:
        """Book the refunds whose time, or whose account's balance, has come."""

        async def settle(part: Sequence[str]) -> list[str]:
            async with connection.transaction():  # a savepoint, in case one of them is at fault
                return await self._money.settle_due(connection, part)

        seconds_ago = self._catching_up.seconds_ago
        if seconds_ago is None:
            return None
        due = await self._money.due(connection, seconds_ago, LIMIT)
        if not due:
            return None
        results = await isolating(settle, due)
        failed = []
        moved = Counter[str]()
        for message_id, result in zip(due, results, strict=True):
            if isinstance(result, Exception):
                failed.append(message_id)
                log.error("refund failed", message_id=message_id, error=describe(result))
            elif result == GIVEN_UP:
                log.error(
                    "refund given up: no charge is known, or its CDR is gone",
                    message_id=message_id,
                )
            if isinstance(result, str) and result != POSTPONED:
                moved[result] += 1
        await self._money.postpone(connection, failed)
        if moved:
            log.info("due refunds settled", **moved)
            self._is_busy |= len(due) == LIMIT
        return moved

    async def _bury(
        self,
        connection: Connection,
        stream: Stream[Any],
        dead: Sequence[tuple[Parked, DeadLetter]],
    ) -> int:
        """Publish to the dead queue; unpark only what the broker has confirmed, and count it.

        What it refuses stays parked until the next sweep, and holds up nothing else. A letter
        whose confirm is late, or lost with the transaction, is published again.
        """
        dead_letters = self._dead_letters()
        if not dead or dead_letters is None or dead_letters.is_waiting:
            return 0
        letters = [letter for _, letter in dead]
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                taken = await dead_letters.offer(stream.name, stream.source, letters)
        except BROKER_OUTAGES as error:
            log.error("parked events not dead-lettered; trying again", error=describe(error))
            return 0
        buried = [parked for (parked, _), is_in in zip(dead, taken, strict=True) if is_in]
        if buried:
            await parking.unpark(connection, buried)
            stream.report.dead(
                [letter for letter, is_in in zip(letters, taken, strict=True) if is_in]
            )
        return len(buried)

    async def _look_for_parts(self, connection: Connection) -> None:
        """Look for the long messages that receipts may be parts of."""
        (dlr,) = (stream for stream in self._streams if stream.name == "dlr")
        grace = self._settings.parking.part_grace
        old = await parking.claim_part_candidates(connection, grace, LIMIT)
        await self._link_parts(connection, dlr, old)

    async def _link_parts(
        self, connection: Connection, stream: Stream[Any], waiting: Sequence[Parked]
    ) -> None:
        """Link receipts for parts of long messages, of whose ids Jasmin names only the last."""
        # What is refused since limits were tightened is dead-lettered in time.
        events = await stream.decode([parked.message for parked in waiting])
        guesses = [guess for event in events for guess in _guesses(event)]
        if guesses:
            await connection.execute(statement("link_parts"), *zip(*guesses, strict=True))

    async def _measure(self, connection: Connection) -> None:
        rows = await connection.fetch(statement("measure_parked"))
        measured = {stream: (parked, oldest) for stream, parked, oldest in rows}
        for stream in STREAMS:  # also of what is not consumed any more
            parked, oldest = measured.get(stream, (0, 0.0))
            metrics.PARKED.labels(stream).set(parked)
            metrics.PARKED_OLDEST_SECONDS.labels(stream).set(oldest)
        ((waiting, oldest),) = await connection.fetch(statement("measure_refunds"))
        metrics.REFUNDS_WAITING.set(waiting)
        metrics.REFUNDS_OLDEST_SECONDS.set(oldest)

    async def _purge(self, connection: Connection) -> None:
        """Delete what is old a slice at a time; a full slice means that there is more."""
        dlr, capture = self._settings.dlr, self._settings.capture
        slices = [
            await connection.execute(
                statement("purge_receipt_log"), dlr.receipt_log_keep, PURGE_ROWS
            ),
            await connection.execute(statement("purge_links"), dlr.link_keep, PURGE_ROWS),
            await connection.execute(statement("purge_texts"), capture.keep, PURGE_ROWS),
        ]
        if not any(done.endswith(f" {PURGE_ROWS}") for done in slices):
            self._purge_at = time.monotonic() + PURGE_SECONDS


def _too_late(parked: Parked, ttl: float, error: Exception | None) -> DeadLetter:
    """Say why what has waited for ``ttl`` seconds is given up."""
    if error is not None:
        reason = f"failed too often: {describe(error)}"
        return DeadLetter(parked.message, reason, Cause.FAILED)
    reason = f"nothing it belongs to appeared within {ttl:g} s"
    return DeadLetter(parked.message, reason, Cause.EXPIRED)


def _guesses(event: Event | Refused) -> list[tuple[str, str, int, str | None]]:
    """Return the ids that the last part of a receipt's message may have."""
    if not isinstance(event, Receipt) or event.smpp_msgid is None:
        return []
    return [
        (event.smpp_msgid, following, distance, event.connector_id)
        for distance in range(1, FURTHEST_PART + 1)
        for following in following_ids(event.smpp_msgid, distance)
    ]
