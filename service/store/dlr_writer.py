"""Applies a batch of the DLR stream: links, CDRs, and what their failures cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from service.events.records import DlrEvent, Receipt, SubmitResult
from service.events.statuses import DELIVERED, FAILED, RETRIED, SUBMITTED
from service.store.money import Failure, Money, Moved
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
        outcomes = [Outcome.PARKED] * len(events)
        for index in parts:
            outcomes[index] = Outcome.PART
        costly = [index for index, event in enumerate(events) if self._may_cost(event)]
        if costly:
            # First all CDRs, in one order; then what else the money needs.
            ids = sorted({message_id for message_id in message_ids if message_id is not None})
            await connection.fetch(statement("lock_cdrs"), ids)
        refunded = await self._settle(connection, events, message_ids, outcomes)
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
                delivery.redelivered,
            )
            for delivery, event in arrivals
            if isinstance(event, Receipt)
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
                statement("insert_links"), smpp_msgids, message_ids, [False] * len(links)
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
        wanted = [
            (index, operator_id, guessed, event.connector_id)
            for index, event in enumerate(events)
            if isinstance(event, Receipt)
            for guessed, ids in ((False, event.operator_ids), (True, event.guessed_ids))
            if guess or not guessed
            for operator_id in ids
        ]
        parts: list[int] = []
        if wanted:
            columns = zip(*wanted, strict=True)
            rows = await connection.fetch(statement("resolve_operator_ids"), *columns)
            for index, message_id, part in rows:
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
        outcomes: list[Outcome],
    ) -> list[str]:
        """Move each CDR to its best event's status, and write the outcomes of all events.

        Returns:
            Messages that have been delivered although they had been refunded.
        """
        groups = defaultdict(list)
        for index, message_id in enumerate(message_ids):
            if message_id is not None:
                groups[message_id].append(index)
        if not groups:
            return []
        ordered = sorted(groups)  # all workers lock rows in the same order
        best = [max(groups[key], key=lambda index: events[index].status.rank) for key in ordered]
        rows = [_row(key, events[index]) for key, index in zip(ordered, best, strict=True)]
        columns = zip(*rows, strict=True)
        told = await connection.fetch(statement("settle_dlrs"), *columns)
        still: dict[int, int | None] = {ord_: rank for ord_, rank, moved in told if not moved}
        for position, (key, winner) in enumerate(zip(ordered, best, strict=True), start=1):
            rank = still.get(position, events[winner].status.rank)
            if rank is None:
                continue  # no CDR yet: all of them stay parked
            outcomes[winner] = (
                _passed_over(events[winner], rank) if position in still else Outcome.APPLIED
            )
            for index in groups[key]:
                if index != winner:
                    outcomes[index] = _passed_over(events[index], rank if index > winner else 0)
        return [ordered[ord_ - 1] for ord_, rank, moved in told if moved and rank == DELIVERED]

    def _may_cost(self, event: DlrEvent) -> bool:
        """Whether a refund may follow from an event."""
        rank = event.status.rank
        if isinstance(event, SubmitResult):
            return rank in {FAILED, RETRIED}
        return rank == FAILED and event.status.cdr_status in self._money.policy.receipts


def _row(message_id: str, event: DlrEvent) -> tuple[object, ...]:
    """Return the parameters of settle_dlrs.sql for one message."""
    status = event.status
    if isinstance(event, Receipt):
        done_at, error_code, details = event.done_at, event.error_code, event.details
    else:
        done_at, details = None, None
        error_code = None if status.rank == SUBMITTED else status.text
    return (
        message_id,
        status.cdr_status,
        status.rank,
        done_at,
        error_code,
        details,
        event.smpp_msgid,
    )


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
