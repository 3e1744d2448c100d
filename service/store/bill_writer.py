"""Applies a batch of the billing stream: charges once each, then CDRs, then money."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from msgspec.structs import replace

from service.events.records import BillEvent
from service.events.statuses import SUBMITTED, status_of
from service.store.accounts import as_uuid, find_accounts
from service.store.columns import column
from service.store.money import COSTLY, Failure, Money, Moved
from service.store.outcomes import Effects, Outcome
from service.store.parking import Keys
from service.store.sql import statement

if TYPE_CHECKING:
    from service.store.batches import Arrival
    from service.store.pool import Connection


class _Charge(msgspec.Struct, frozen=True, gc=False):
    """What a batch says about one charge.

    Attributes:
        at: index of the best answer, by rank.
        answer: the best answer, with the message and connector of the first that names one.
        amount: of the answer that confirms it, else of the best.
        confirmed: whether one of the answers is ESME_ROK.
    """

    at: int
    answer: BillEvent
    amount: Decimal
    confirmed: bool


class BillWriter:
    """Writes billing events; a bill id has its effect once, however often it comes.

    Charge mode ``confirm``: the gateway has debited the account already, so a confirmed charge
    finalises its CDR and moves no money. Charge mode ``debit``: it is taken from the balance.
    """

    stream = "bill"

    def __init__(self, money: Money) -> None:
        self._money = money

    async def apply(
        self,
        connection: Connection,
        events: Sequence[BillEvent],
        *,
        guess: bool = False,
    ) -> Effects:
        """Apply what can be applied, in the caller's transaction.

        Args:
            connection: in a transaction.
            events: in the order in which they came.
            guess: as for every writer; there is nothing to guess in a bill.

        Returns:
            One outcome for each event; the caller keeps those that are PARKED.
        """
        accounts = await find_accounts(
            connection, {event.uid for event in events}, with_balance=self._money.debits
        )
        cdrs = await self._lock_cdrs(connection, events)
        ready = {
            index: event
            for index, event in enumerate(events)
            if event.uid in accounts and (event.message_id is None or event.message_id in cdrs)
        }
        charges = _charges(ready)
        fresh = await self._record(connection, charges, accounts)
        # And those that only an earlier answer to the same charge has named: out of order, so that
        # of two answers at once one may be a deadlock's victim, and is tried again.
        await self._lock_cdrs(
            connection, [c.answer for c, _ in fresh if c.answer.message_id not in cdrs]
        )
        await self._settle(connection, [charge.answer for charge, _ in fresh])
        outcomes = [
            Outcome.UNCHANGED if index in ready else Outcome.PARKED for index in range(len(events))
        ]
        for charge, _ in fresh:
            outcomes[charge.at] = Outcome.APPLIED
        failures = [
            Failure(charge.answer.message_id, charge.answer.status)
            for charge, _ in fresh
            if charge.answer.status.rank in COSTLY and charge.answer.message_id is not None
        ]
        debits = [
            (charge.answer.bid, account)
            for charge, account in fresh
            if charge.confirmed and self._money.debits
        ]
        if not failures and not debits:
            return Effects(outcomes, Moved())
        moved = await self._money.settle(connection, failures=failures, debits=debits)
        return Effects(outcomes, moved)

    async def log(self, connection: Connection, arrivals: Sequence[Arrival[BillEvent]]) -> None:
        """Keep nothing more: billing_event has every charge."""

    @staticmethod
    def keys(event: BillEvent) -> Keys:
        """Return what a parked event waits for."""
        return Keys(message_id=event.message_id, uid=event.uid, account_id=as_uuid(event.uid))

    async def _lock_cdrs(self, connection: Connection, events: Sequence[BillEvent]) -> set[str]:
        message_ids = {event.message_id for event in events if event.message_id is not None}
        if not message_ids:
            return set()
        rows = await connection.fetch(statement("lock_cdrs"), list(message_ids))
        return {message_id for (message_id,) in rows}

    async def _record(
        self, connection: Connection, charges: Sequence[_Charge], accounts: dict[str, UUID]
    ) -> list[tuple[_Charge, UUID]]:
        """Record the charges, in key order.

        Returns:
            Those that are new or have a new answer, each with the status and message that it has
            by now, and the account that it was recorded for.
        """
        if not charges:
            return []
        answers = [charge.answer for charge in charges]
        ids = {uid: str(account) for uid, account in accounts.items()}
        statuses = [answer.status for answer in answers]
        recorded = await connection.fetch(
            statement("record_bills"),
            column([answer.bid for answer in answers]),
            column([ids[answer.uid] for answer in answers]),
            column([answer.message_id for answer in answers]),
            column([answer.connector_id for answer in answers]),
            column([status.text for status in statuses]),
            column([str(status.rank) for status in statuses]),
            column([str(charge.amount) for charge in charges]),
            column(["t" if charge.confirmed else "f" for charge in charges]),
        )
        rows = {row["bid"]: row for row in recorded}
        return [
            (_with(charge, row["message_id"], row["status"]), row["account_id"])
            for charge in charges
            if (row := rows.get(charge.answer.bid))
        ]

    async def _settle(self, connection: Connection, events: Sequence[BillEvent]) -> None:
        """Finalise or fail the CDRs of charges that name their message."""
        groups = defaultdict(list)
        for event in events:
            if event.message_id is not None:
                groups[event.message_id].append(event)
        if groups:
            rows = [_row(message_id, groups[message_id]) for message_id in sorted(groups)]
            columns = (column(values) for values in zip(*rows, strict=True))
            await connection.execute(statement("settle_bills"), *columns)


def _charges(events: dict[int, BillEvent]) -> list[_Charge]:
    """Gather the answers to each charge, by bill id and in its order."""
    answers = defaultdict(list)
    for index, event in events.items():
        answers[event.bid].append(index)
    return [_charge(answers[bid], events) for bid in sorted(answers)]


def _with(charge: _Charge, message_id: str | None, status: str) -> _Charge:
    """Return a charge with what its row says by now, which is mostly what it said itself."""
    answer = charge.answer
    if (answer.message_id, answer.status.text) == (message_id, status):
        return charge
    return replace(charge, answer=replace(answer, message_id=message_id, status=status_of(status)))


def _charge(answers: Sequence[int], events: dict[int, BillEvent]) -> _Charge:
    """Return what the answers to one charge come to."""
    best = max(answers, key=lambda index: events[index].status.rank)
    event = events[best]
    named = next((events[i] for i in answers if events[i].message_id is not None), event)
    if named.message_id != event.message_id:
        event = replace(event, message_id=named.message_id, connector_id=named.connector_id)
    paid = next((i for i in answers if events[i].status.rank == SUBMITTED), None)
    amount = event.amount if paid is None else events[paid].amount
    return _Charge(best, event, amount, confirmed=paid is not None)


def _row(message_id: str, answers: Sequence[BillEvent]) -> tuple[str | None, ...]:
    """Return the parameters of settle_bills.sql for one message."""
    status = max((answer.status for answer in answers), key=lambda status: status.rank)
    error_code = None if status.rank == SUBMITTED else status.text
    return message_id, status.cdr_status, str(status.rank), error_code
