"""What must be in the database once all events of a workload have had their effect."""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from bench.lab.messages import (
    CONTRACT_DATE,
    NATIVE_DATE,
    bill_id,
    bill_status,
    done_date,
    error_code,
)
from bench.lab.workload import OPENING_BALANCE, Kind, Sms, Workload, account_id

_STATUSES: Final = {
    "DELIVRD": "delivered",
    "UNDELIV": "failed",
    "EXPIRED": "expired",
    "REJECTD": "rejected",
}


class Cdr(NamedTuple):
    """What a CDR must have, as its columns of the same names."""

    status: str
    error_code: str | None = None
    delivery_at: datetime | None = None
    smpp_msgid: str | None = None
    confirmed_amount: Decimal | None = None
    refunded_amount: Decimal | None = None


class Entry(NamedTuple):
    """What a refund must have in the ledger, or a charge in its record."""

    account_id: str
    amount: Decimal
    what: str


def initial_status(workload: Workload) -> str:
    """Return the status of CDRs that no event is of."""
    return "submitted" if workload.tables.is_answered else "queued"


def cdrs(workload: Workload) -> dict[str, Cdr]:
    """Return the CDRs that events are of, by message id."""
    messages = map(workload.sms, workload.numbers)
    if workload.kind is Kind.BILL:
        return {sms.message_id: _billed(sms) for sms in messages}
    return {sms.message_id: _received(sms, workload.kind) for sms in messages}


def charges(workload: Workload) -> dict[str, Entry]:
    """Return the charges that must be recorded, by bill id: account, amount and status."""
    return {
        bill_id(sms): Entry(account_id(workload.seed, sms.account), sms.price, bill_status(sms))
        for sms in _billed_messages(workload)
    }


def ledger(workload: Workload) -> dict[str, Entry]:
    """Return the refunds that must be in the ledger, by message id: account, amount, direction."""
    return {
        sms.message_id: Entry(account_id(workload.seed, sms.account), sms.price, "credit")
        for sms in _billed_messages(workload)
        if sms.is_refused
    }


def balances(workload: Workload) -> dict[str, Decimal]:
    """Return the balance that each account must have."""
    refunds: dict[str, Decimal] = defaultdict(Decimal)
    for entry in ledger(workload).values():
        refunds[entry.account_id] += entry.amount
    accounts = (account_id(workload.seed, number) for number in range(workload.accounts))
    return {account: OPENING_BALANCE + refunds[account] for account in accounts}


def _billed_messages(workload: Workload) -> list[Sms]:
    return [workload.sms(n) for n in workload.numbers] if workload.kind is Kind.BILL else []


def _billed(sms: Sms) -> Cdr:
    if sms.is_refused:
        return Cdr("failed", error_code=bill_status(sms), refunded_amount=sms.price)
    return Cdr("submitted", confirmed_amount=sms.price)


def _received(sms: Sms, kind: Kind) -> Cdr:
    form = CONTRACT_DATE if kind is Kind.JSON else NATIVE_DATE
    return Cdr(
        _STATUSES[sms.fate],
        error_code=error_code(sms),
        delivery_at=datetime.strptime(done_date(sms, kind), form).replace(tzinfo=UTC),
        smpp_msgid=sms.operator_id,
    )
