"""Applies a batch of the billing stream: charges once each, then CDRs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from service.events.records import BillEvent
from service.events.statuses import SUBMITTED
from service.store.outcomes import Outcome
from service.store.parking import Keys
from service.store.sql import statement

if TYPE_CHECKING:
    from service.store.batches import Arrival
    from service.store.pool import Connection


class BillWriter:
    """Writes billing events; a bill id has its effect once, however often it comes.

    Charge mode ``confirm``: the gateway has debited the account already, so a confirmed charge
    finalises its CDR and moves no money. What moves money (refunds, charge mode ``debit``)
    belongs in :meth:`apply`, after ``_settle`` and in the same transaction, for the charges
    that ``_record`` returned and no others.
    """

    stream = "bill"

    async def apply(
        self,
        connection: Connection,
        events: Sequence[BillEvent],
        *,
        guess: bool = False,
    ) -> list[Outcome]:
        """Apply what can be applied, in the caller's transaction.

        Args:
            connection: in a transaction.
            events: in the order in which they came.
            guess: as for every writer; there is nothing to guess in a bill.

        Returns:
            One outcome for each event; the caller keeps those that are PARKED.
        """
        accounts = await self._find_accounts(connection, events)
        cdrs = await self._find_cdrs(connection, events)
        ready = {
            index: event
            for index, event in enumerate(events)
            if event.uid in accounts and (event.message_id is None or event.message_id in cdrs)
        }
        best = _best_of_each_bid(ready)
        fresh = await self._record(connection, [events[i] for i in best.values()], accounts)
        await self._settle(connection, fresh)
        effective = {best[event.bid] for event in fresh}
        return [
            Outcome.PARKED
            if index not in ready
            else Outcome.APPLIED
            if index in effective
            else Outcome.UNCHANGED
            for index in range(len(events))
        ]

    async def log(self, connection: Connection, arrivals: Sequence[Arrival[BillEvent]]) -> None:
        """Keep nothing more: billing_event has every charge."""

    @staticmethod
    def keys(event: BillEvent) -> Keys:
        """Return what a parked event waits for."""
        return Keys(message_id=event.message_id, uid=event.uid, account_id=_uuid(event.uid))

    async def _find_accounts(
        self, connection: Connection, events: Sequence[BillEvent]
    ) -> dict[str, UUID]:
        uids = list({event.uid for event in events})
        rows = await connection.fetch(statement("find_accounts"), uids, [_uuid(u) for u in uids])
        return {row["uid"]: row["account_id"] for row in rows}

    async def _find_cdrs(self, connection: Connection, events: Sequence[BillEvent]) -> set[str]:
        message_ids = {event.message_id for event in events if event.message_id is not None}
        if not message_ids:
            return set()
        rows = await connection.fetch(statement("find_cdrs"), list(message_ids))
        return {row["message_id"] for row in rows}

    async def _record(
        self,
        connection: Connection,
        events: Iterable[BillEvent],
        accounts: dict[str, UUID],
    ) -> list[BillEvent]:
        """Record the charges, in key order; return those that were new or a better answer."""
        ordered = sorted(events, key=lambda event: event.bid)
        if not ordered:
            return []
        rows = (
            (
                event.bid,
                accounts[event.uid],
                event.message_id,
                event.connector_id,
                event.status.text,
                event.status.rank,
                event.amount,
            )
            for event in ordered
        )
        recorded = await connection.fetch(statement("record_bills"), *zip(*rows, strict=True))
        bids = {row["bid"] for row in recorded}
        return [event for event in ordered if event.bid in bids]

    async def _settle(self, connection: Connection, events: Sequence[BillEvent]) -> None:
        """Finalise or fail the CDRs of charges that name their message."""
        groups = defaultdict(list)
        for event in events:
            if event.message_id is not None:
                groups[event.message_id].append(event)
        if groups:
            rows = [_row(message_id, groups[message_id]) for message_id in sorted(groups)]
            await connection.execute(statement("settle_bills"), *zip(*rows, strict=True))


def _best_of_each_bid(events: dict[int, BillEvent]) -> dict[str, int]:
    """Return, for each bill id, the index of its event of the highest rank (the first such)."""
    best: dict[str, int] = {}
    for index, event in events.items():
        leader = best.setdefault(event.bid, index)
        if event.status.rank > events[leader].status.rank:
            best[event.bid] = index
    return best


def _row(message_id: str, charges: Sequence[BillEvent]) -> tuple[object, ...]:
    """Return the parameters of settle_bills.sql for one message."""
    status = max((charge.status for charge in charges), key=lambda status: status.rank)
    confirmed = [charge.amount for charge in charges if charge.status.rank == SUBMITTED]
    return (
        message_id,
        status.cdr_status,
        status.rank,
        None if status.rank == SUBMITTED else status.text,
        sum(confirmed, Decimal(0)) if confirmed else None,
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
