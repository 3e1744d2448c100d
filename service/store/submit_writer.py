"""Writes CDRs for the submissions of a site without a gateway that does (docs/capture.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from service.events.records import Submission
from service.store.accounts import as_uuid, find_accounts
from service.store.columns import column
from service.store.money import Money, Moved
from service.store.outcomes import Effects, Outcome
from service.store.parking import Keys
from service.store.sql import statement

if TYPE_CHECKING:
    from service.store.batches import Arrival
    from service.store.pool import Connection

# A CDR's id is that of its message id in here, whoever writes it and however often.
NAMESPACE: Final = UUID("d0b1d8a6-3f8a-5c55-9c0e-6b2f3a1c7e44")


class SubmitWriter:
    """Writes a CDR for each message, once; one that anybody else has written stays as it is.

    Charge mode ``debit``: what Jasmin charges at once is taken from the balance, with the CDR.
    """

    stream = "submit"

    def __init__(self, money: Money) -> None:
        self._money = money

    async def apply(
        self,
        connection: Connection,
        events: Sequence[Submission],
        *,
        guess: bool = False,
    ) -> Effects:
        """Write what can be written, in the caller's transaction.

        Args:
            connection: in a transaction.
            events: in the order in which they came.
            guess: as for every writer; there is nothing to guess in a submission.

        Returns:
            One outcome for each event; the caller keeps those that are PARKED.
        """
        uids = {event.uid for event in events if event.uid is not None}
        # One that is to be debited must have a balance.
        accounts = await find_accounts(connection, uids, with_balance=self._money.debits)
        outcomes = [Outcome.UNCHANGED] * len(events)
        firsts: dict[str, int] = {}
        for index, event in enumerate(events):
            if event.uid is None or event.uid in accounts:
                firsts.setdefault(event.message_id, index)
            else:
                outcomes[index] = Outcome.PARKED
        ready = [events[firsts[message_id]] for message_id in sorted(firsts)]
        written = await self._write(connection, ready, accounts)
        for event in written:
            outcomes[firsts[event.message_id]] = Outcome.APPLIED
        charged = [event for event in written if self._money.debits and event.charged]
        moved = await self._debit(connection, charged, accounts) if charged else Moved()
        return Effects(outcomes, moved)

    async def log(self, connection: Connection, arrivals: Sequence[Arrival[Submission]]) -> None:
        """Keep nothing more: the CDR has what is wanted."""

    @staticmethod
    def keys(event: Submission) -> Keys:
        """Return what a parked event waits for: its account."""
        return Keys(uid=event.uid, account_id=None if event.uid is None else as_uuid(event.uid))

    async def _write(
        self, connection: Connection, events: Sequence[Submission], accounts: Mapping[str, UUID]
    ) -> list[Submission]:
        """Write the CDRs that are not there yet; return whose they are."""
        if not events:
            return []
        rows = [_cdr(event, accounts.get(event.uid or "")) for event in events]
        columns = [column(values) for values in zip(*rows, strict=True)]
        written = await connection.fetch(
            statement("capture_submissions"), *columns, self._money.debits
        )
        message_ids = {message_id for (message_id,) in written}
        return [event for event in events if event.message_id in message_ids]

    async def _debit(
        self, connection: Connection, events: Sequence[Submission], accounts: Mapping[str, UUID]
    ) -> Moved:
        """Record what Jasmin has charged at once, under its bill id, and take it.

        Raises:
            ValueError: a bill id is that of another message, which Jasmin never makes.
        """
        charges = {event.bid or "": event for event in events}
        rows = [_charge(bid, charges[bid], accounts) for bid in sorted(charges)]
        columns = [column(values) for values in zip(*rows, strict=True)]
        recorded = await connection.fetch(statement("record_bills"), *columns)
        if len(recorded) < len(events):
            raise ValueError("its bill id is that of another message, which is charged by it")
        return await self._money.settle(connection, debits=[(r[0], r[1]) for r in recorded])


def _cdr(event: Submission, account: UUID | None) -> tuple[str | None, ...]:
    """Return the parameters of capture_submissions.sql for one message."""
    return (
        event.message_id,
        str(uuid5(NAMESPACE, event.message_id)),
        _text(account),
        event.connector_id,
        event.msisdn,
        event.sender,
        str(event.parts),
        _text(event.price),
        _text(event.submit_at),
        _text(event.charged),
        event.text,
    )


def _charge(bid: str, event: Submission, accounts: Mapping[str, UUID]) -> tuple[str | None, ...]:
    """Return the parameters of record_bills.sql for one message: confirmed, as it is taken."""
    return (
        bid,
        _text(accounts.get(event.uid or "")),
        event.message_id,
        event.connector_id,
        event.status.text,
        str(event.status.rank),
        str(event.charged),
        "t",
    )


def _text(value: UUID | Decimal | datetime | None) -> str | None:
    return None if value is None else str(value)
