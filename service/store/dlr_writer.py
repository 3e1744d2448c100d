"""Applies a batch of the DLR stream: links, CDRs, and what their failures cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from service.events.records import DlrEvent, Receipt, SubmitResult
from service.events.statuses import DELIVERED, FAILED
from service.store.columns import column
from service.store.money import COSTLY, Failure, Money, Moved
from service.store.outcomes import Effects, Outcome
from service.store.parking import Keys
from service.store.sql import statement

if TYPE_CHECKING:
    from service.store.batches import Arrival
    from service.store.pool import Connection

_LOG_COLUMNS = (
    "received_at",
    "message_id",
    "smpp_msgid",
    "connector_id",
    "status",
    "error_code",
    "done_at",
    "details",
    "redelivered",
)


class DlrWriter:
    """Writes submit results and receipts; nothing changes when the same batch comes again."""

    stream = "dlr"

    def __init__(self, money: Money, *, receipt_log: bool) -> None:
        self._money = money
        self._receipt_log = receipt_log

    async def apply(
        self, connection: Connection, events: Sequence[DlrEvent], *, guess: bool = False
    ) -> Effects:
        """Apply what can be applied, in the caller's transaction.

        Args:
            connection: in a transaction.
            events: in the order in which they came.
            guess: whether operators' ids may be read in another base as well. Not while the
                id as given may still be linked: the guess may well be another message's id.

        Returns:
            One outcome for each event; the caller keeps those that are PARKED.
        """
        await self._link(connection, events)
        message_ids, parts = await self._resolve(connection, events, guess=guess)
        costly = [
            index
            for index, event in enumerate(events)
            if event.status.rank in COSTLY and self._may_cost(event)
        ]
        if costly:
            # First all CDRs, in one order; then what else the money needs.
            ids = sorted({message_id for message_id in message_ids if message_id is not None})
            await connection.fetch(statement("lock_cdrs"), ids)
        outcomes, refunded = await self._settle(connection, events, message_ids)
        for index in parts:
            outcomes[index] = Outcome.PART
        failures = [
            failure
            for index in costly
            if (failure := _failure(events[index], message_ids[index], outcomes[index]))
        ]
        if not failures and not refunded:
            return Effects(outcomes, Moved())
        moved = await self._money.settle(connection, failures=failures, delivered=refunded)
        return Effects(outcomes, moved)

    async def log(self, connection: Connection, arrivals: Sequence[Arrival[DlrEvent]]) -> None:
        """Append the receipts, as they came, to the receipt log."""
        if not self._receipt_log:
            return
        now = datetime.now(UTC)
        rows = [
            (
                now,
                event.message_id,
                event.smpp_msgid,
                event.connector_id,
                event.status.text,
                event.error_code,
                event.done_at,
                event.details,
                arrival.delivery.redelivered,
            )
            for arrival in arrivals
            if isinstance(event := arrival.event, Receipt)
        ]
        if rows:
            await connection.copy_records_to_table(
                "billing_receipt_log", records=rows, columns=_LOG_COLUMNS
            )

    @staticmethod
    def keys(event: DlrEvent) -> Keys:
        """Return what a parked event waits for."""
        if isinstance(event, Receipt):
            return Keys(event.message_id, event.operator_ids, event.guessed_ids)
        return Keys(event.message_id)

    async def _link(self, connection: Connection, events: Sequence[DlrEvent]) -> None:
        """Remember which message each operator's id belongs to."""
        links = sorted(
            {
                (event.smpp_msgid, event.message_id)
                for event in events
                if isinstance(event, SubmitResult) and event.smpp_msgid
            }
        )
        if links:
            smpp_msgids, message_ids = zip(*links, strict=True)
            await connection.execute(
                statement("insert_links"), column(smpp_msgids), column(message_ids)
            )

    async def _resolve(
        self, connection: Connection, events: Sequence[DlrEvent], *, guess: bool
    ) -> tuple[list[str | None], list[int]]:
        """Find the message of every event.

        Returns:
            The message id of each event, None where there is no link yet; and the indexes of
            receipts that belong to an unnamed part of a long message.
        """
        message_ids = [event.message_id for event in events]
        parts: list[int] = []
        if None not in message_ids:
            return message_ids, parts
        wanted: list[tuple[str, str, str, str | None]] = []
        for index, message_id in enumerate(message_ids):
            event = events[index]
            if message_id is None and isinstance(event, Receipt):
                forms = [(operator_id, "f") for operator_id in event.operator_ids]
                if guess:
                    forms += [(operator_id, "t") for operator_id in event.guessed_ids]
                wanted += [(str(index), *form, event.connector_id) for form in forms]
        columns = (column(values) for values in zip(*wanted, strict=True))
        for index, message_id, part in await connection.fetch(
            statement("resolve_operator_ids"), *columns
        ):
            if part:
                parts.append(index)
            else:
                message_ids[index] = message_id
        return message_ids, parts

    async def _settle(
        self,
        connection: Connection,
        events: Sequence[DlrEvent],
        message_ids: Sequence[str | None],
    ) -> tuple[list[Outcome], list[str]]:
        """Move each CDR to its best event's status.

        Returns:
            What became of each event, and the messages that have been delivered although they
            had been refunded.
        """
        best = _best(events, message_ids)
        if not best:
            return [Outcome.PARKED] * len(events), []
        ordered = sorted(best)  # all workers lock rows in the same order
        columns = parameters(ordered, [events[best[key]] for key in ordered])
        [(moved, refunded)] = await connection.fetch(
            statement("settle_dlrs"), *columns, len(ordered)
        )
        still: dict[str, int] = {}
        if moved is not None:
            left = list(best.keys() - moved)
            still = dict.fromkeys(left, 0)
            for message_id, rank in await connection.fetch(statement("find_ranks"), left):
                still[message_id] = rank
        if not still and len(best) == len(events):
            outcomes = [Outcome.APPLIED] * len(events)
        else:
            outcomes = _outcomes(events, message_ids, best, still)
        delivered = [key for key in refunded or () if events[best[key]].status.rank == DELIVERED]
        return outcomes, delivered

    def _may_cost(self, event: DlrEvent) -> bool:
        """Whether a refund may follow from an event of a costly rank."""
        if isinstance(event, SubmitResult):
            return True
        status = event.status
        return status.rank == FAILED and status.cdr_status in self._money.policy.receipts


def _best(events: Sequence[DlrEvent], message_ids: Sequence[str | None]) -> dict[str, int]:
    """Return for each message the index of its best event; of several the first."""
    known = [(id_, index) for index, id_ in enumerate(message_ids) if id_ is not None]
    best = dict(known)
    if len(best) == len(known):
        return best
    best = dict(reversed(known))  # the first of each
    for message_id, index in known:
        if events[index].status.rank > events[best[message_id]].status.rank:
            best[message_id] = index
    return best


def parameters(message_ids: Sequence[str], events: Sequence[DlrEvent]) -> tuple[str, ...]:
    """Return the columns of settle_dlrs.sql."""
    statuses = [event.status for event in events]
    return (
        column(message_ids),
        column([status.cdr_status for status in statuses]),
        column([_DIGITS[status.rank] for status in statuses]),
        column([None if event.done_at is None else _seconds(event.done_at) for event in events]),
        column([event.error_code for event in events]),
        column([event.details for event in events]),
        column([event.smpp_msgid for event in events]),
    )


_DIGITS = [str(rank) for rank in range(DELIVERED + 1)]


@lru_cache(maxsize=8192)  # the receipts of one moment say the same time
def _seconds(moment: datetime) -> str:
    """Return POSIX seconds; no date of a receipt is more exact."""
    return str(int(moment.timestamp()))


def _outcomes(
    events: Sequence[DlrEvent],
    message_ids: Sequence[str | None],
    best: Mapping[str, int],
    still: Mapping[str, int],
) -> list[Outcome]:
    """Say what became of each event.

    Args:
        events: in the order in which they came.
        message_ids: of each its message, None where it is not known.
        best: for each message the index of its best event.
        still: rank of the CDRs that the best event did not move, 0 where there is none.
    """
    outcomes = [Outcome.PARKED] * len(events)
    for index, message_id in enumerate(message_ids):
        if message_id is None:
            continue
        winner = best[message_id]
        best_rank = events[winner].status.rank
        rank = still.get(message_id, best_rank)
        if rank < best_rank:
            continue  # there was no CDR when it was looked for; it may have come since
        if index == winner and message_id not in still:
            outcomes[index] = Outcome.APPLIED
        else:
            was_there = message_id in still or index >= winner
            outcomes[index] = _passed_over(events[index], rank if was_there else 0)
    return outcomes


def _failure(event: DlrEvent, message_id: str | None, outcome: Outcome) -> Failure | None:
    """Return what may have to be refunded: for a receipt only where it moved its CDR."""
    if message_id is None or outcome is Outcome.PARKED:
        return None  # of an unnamed part of a long message; or still to come
    if isinstance(event, SubmitResult):
        return Failure(message_id, event.status)
    moved = outcome is Outcome.APPLIED
    return Failure(message_id, event.status, by_receipt=True) if moved else None


def _passed_over(event: DlrEvent, rank: int) -> Outcome:
    """Return the outcome of an event that did not move a CDR which already had ``rank``."""
    if event.status.rank == FAILED and rank == DELIVERED:
        return Outcome.CONFLICT
    return Outcome.UNCHANGED
