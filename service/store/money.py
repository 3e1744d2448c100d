"""Moves money: debits, refunds and their reversals, each once and with what causes it.

All of it happens in the transaction of the batch that causes it; a batch that costs nobody
anything never comes here. Rows are locked in one order: CDRs, refunds, and then all balances that
the transaction will touch, each by its key. (A batch that is written in parts does so for each
part; should that ever deadlock, one of the two is tried again.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from service.events.statuses import DELIVERED, FAILED, RETRIED, Status, status_of
from service.store.sql import statement

if TYPE_CHECKING:
    import asyncpg

    from service.store.pool import Connection
    from service.store.refund_policy import RefundPolicy

REFUND: Final = "refund"
REVERSAL: Final = "reversal"
DEBIT: Final = "debit"
KEPT: Final = "kept"
VOID: Final = "void"
GIVEN_UP: Final = "given up"
POSTPONED: Final = "postponed"

# Ranks of events from which a refund may follow.
COSTLY: Final = frozenset({FAILED, RETRIED})

# What ledger entries of this service say, besides the cause of a refund.
REASONS: Final = {
    REFUND: "SMS refund",
    REVERSAL: "SMS refund reversed",
    DEBIT: "SMS charge settled",
}

# How long a refund without a balance, or without a known amount, waits to be looked at again, at
# least; it grows with its age.
POSTPONE_SECONDS: Final = 10.0

Moved = Counter[str]
"""How many refunds, reversals and debits were booked, refunds kept after a delivery, or voided."""


class Failure(NamedTuple):
    """Something for which a message may have to be refunded.

    Attributes:
        message_id: the CDR's key.
        status: how it failed.
        by_receipt: a receipt says so, rather than the answer to the submission.
    """

    message_id: str
    status: Status
    by_receipt: bool = False


class _Charge(NamedTuple):
    """What find_charges.sql knows of a message."""

    message_id: str
    status_rank: int
    connector_id: str | None
    account_id: UUID | None
    currency: str | None
    amount: Decimal | None
    cause: str | None
    age: float | None
    is_refunded: bool


class Money:
    """Settles what batches owe.

    Args:
        policy: which failures are refunded.
        debits: charge mode ``debit``: confirmed charges are taken from the balance here.
        patience: seconds after which a refund is given up for which no charge is known.
    """

    def __init__(self, policy: RefundPolicy, *, debits: bool, patience: float) -> None:
        self.policy = policy
        self.debits = debits
        self._patience = patience

    async def settle(
        self,
        connection: Connection,
        *,
        failures: Sequence[Failure] = (),
        delivered: Sequence[str] = (),
        debits: Sequence[tuple[str, UUID]] = (),
    ) -> Moved:
        """Move all that a batch owes, in the caller's transaction.

        Args:
            connection: in a transaction that has written what the batch says about CDRs.
            failures: of messages; those that have been delivered are left alone.
            delivered: messages that were delivered after they had been refunded.
            debits: bill id and account of charges that have been confirmed.
        """
        charges = await self._find_charges(
            connection, {failure.message_id for failure in failures}.union(delivered)
        )
        owed = await self._note(connection, failures, charges)
        reversed_ = [m for m in delivered if self.policy.reverses and m in charges]
        accounts = {charges[message_id].account_id for message_id in (*owed, *reversed_)}
        balances = await self._lock_balances(connection, accounts | {a for _, a in debits})
        moved = Moved({KEPT: len(delivered) - len(reversed_)})
        moved[REFUND] = len(await self._book(connection, [charges[m] for m in owed], balances))
        if reversed_:
            rows = await connection.fetch(statement("reverse_refunds"), reversed_)
            moved[REVERSAL] = len(await self._post(connection, REVERSAL, rows))
        if debits:
            bids, columns = [bid for bid, _ in debits], (list(balances), list(balances.values()))
            rows = await connection.fetch(statement("book_debits"), bids, *columns)
            moved[DEBIT] = len(await self._post(connection, DEBIT, rows))
        return moved

    async def due(self, connection: Connection, seconds_ago: float, limit: int) -> list[str]:
        """Return the messages, so many at most, whose refund was due by then and is not booked."""
        rows = await connection.fetch(statement("due_refunds"), seconds_ago, limit)
        return [row["message_id"] for row in rows]

    async def settle_due(self, connection: Connection, message_ids: Sequence[str]) -> list[str]:
        """Book refunds whose time has come; void or postpone the others.

        Args:
            connection: in a transaction that has locked nothing yet.
            message_ids: what :meth:`due` returned.

        Returns:
            For each of them what became of it: REFUND; VOID, as it is not owed after all; GIVEN_UP,
            as nothing is known to have been charged; or POSTPONED.
        """
        charges = await self._find_charges(connection, message_ids)
        verdicts = {m: self._verdict(charges.get(m)) for m in message_ids}
        ended = {m: verdict for m, verdict in verdicts.items() if verdict is not None}
        owed = [charges[m] for m in message_ids if m not in ended]
        balances = await self._lock_balances(connection, {c.account_id for c in owed})
        booked = set(await self._book(connection, owed, balances))
        postponed = [c.message_id for c in owed if c.message_id not in booked]
        await connection.execute(statement("void_refunds"), list(ended))
        await self.postpone(connection, postponed)
        kinds = ended | dict.fromkeys(booked, REFUND)
        return [kinds.get(message_id, POSTPONED) for message_id in message_ids]

    async def postpone(self, connection: Connection, message_ids: Sequence[str]) -> None:
        """Let refunds that could not be booked wait, so that others come first."""
        await connection.execute(statement("postpone_refunds"), message_ids, POSTPONE_SECONDS)

    def _verdict(self, charge: _Charge | None) -> str | None:
        """Say how a noted refund ends unbooked, VOID or GIVEN_UP; None if it is owed."""
        if charge is None:
            return GIVEN_UP
        if charge.status_rank == DELIVERED or (charge.amount is not None and charge.amount <= 0):
            return VOID
        if status_of(charge.cause or "").rank == RETRIED and charge.status_rank > RETRIED:
            return VOID  # it went better, or failed in a way that is noted by itself
        if charge.amount is None and (charge.age or 0.0) > self._patience:
            return VOID if self.debits else GIVEN_UP  # what we did not debit was not charged
        return None

    async def _find_charges(
        self, connection: Connection, message_ids: Collection[str]
    ) -> dict[str, _Charge]:
        """Lock the CDRs, and then look at what was charged for them."""
        if not message_ids:
            return {}
        ids = sorted(message_ids)
        await connection.fetch(statement("lock_cdrs"), ids)
        rows = await connection.fetch(statement("find_charges"), ids, self.debits)
        return {row["message_id"]: _Charge(*row) for row in rows}

    async def _note(
        self,
        connection: Connection,
        failures: Iterable[Failure],
        charges: Mapping[str, _Charge],
    ) -> list[str]:
        """Note what is owed; return the messages whose refund is due at once."""
        noted: dict[str, tuple[str, float]] = {}
        for failure in sorted(failures, key=lambda failure: failure.status.rank):
            charge = charges.get(failure.message_id)
            if charge is not None and self._is_owed(failure, charge):
                seconds = self.policy.settle_seconds if failure.status.rank == RETRIED else 0.0
                noted[failure.message_id] = failure.status.text, seconds
        if not noted:
            return []
        rows = [(message_id, *noted[message_id]) for message_id in sorted(noted)]
        await connection.execute(statement("note_refunds"), *zip(*rows, strict=True))
        return [message_id for message_id, _, seconds in rows if not seconds]

    def _is_owed(self, failure: Failure, charge: _Charge) -> bool:
        is_free = charge.amount is not None and charge.amount <= 0
        if charge.is_refunded or charge.status_rank == DELIVERED or is_free:
            return False
        status = failure.status
        if failure.by_receipt:
            return self.policy.covers(status.cdr_status, charge.account_id, charge.connector_id)
        if status.rank == RETRIED and charge.status_rank > RETRIED:
            return False
        return self.policy.submissions

    async def _lock_balances(
        self, connection: Connection, accounts: Iterable[UUID | None]
    ) -> dict[UUID | None, str | None]:
        """Return the currencies of those accounts that have a balance, locked."""
        wanted = sorted(account for account in set(accounts) if account is not None)
        if not wanted:
            return {}
        rows = await connection.fetch(statement("lock_balances"), wanted)
        return {row["account_id"]: row["currency"] for row in rows}

    async def _book(
        self,
        connection: Connection,
        owed: Iterable[_Charge],
        balances: Mapping[UUID | None, str | None],
    ) -> list[str]:
        """Book the refunds that can be, and return whose; the others stay noted, and wait."""
        rows = [
            (c.message_id, c.account_id, c.amount, c.currency or balances.get(c.account_id))
            for c in owed
            if _is_bookable(c, balances)
        ]
        if not rows:
            return []
        booked = await connection.fetch(statement("book_refunds"), *zip(*rows, strict=True))
        return await self._post(connection, REFUND, booked)

    async def _post(
        self, connection: Connection, kind: str, rows: Sequence[asyncpg.Record]
    ) -> list[str]:
        """Write ledger entries, and move the balances with them; return what they refer to."""
        if rows:
            entries = [
                (
                    row["ledger_id"],
                    row["account_id"],
                    row["amount"],
                    row["currency"],
                    "credit" if kind == REFUND else "debit",
                    f"{REASONS[kind]}: {row['cause']}" if row["cause"] else REASONS[kind],
                    row["reference"],
                )
                for row in rows
            ]
            await connection.execute(statement("post_entries"), *zip(*entries, strict=True))
        return [row["reference"] for row in rows]


def _is_bookable(charge: _Charge, balances: Mapping[UUID | None, str | None]) -> bool:
    """Whether what is owed, to whom, and in which currency, is known and agrees."""
    if charge.amount is None or charge.account_id not in balances:
        return False
    currency = balances[charge.account_id]
    return currency is None or charge.currency is None or currency == charge.currency
