"""A workload's events as they are published, and what is in them."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from bench import formats
from bench.formats import Publication, Report
from bench.lab.workload import CONNECTOR, Kind, Sms, Step, Workload, account_id, date

CONTRACT_DATE: Final = "%Y-%m-%d %H:%M:%S"
NATIVE_DATE: Final = "%y%m%d%H%M"
_DELIVERED: Final = "DELIVRD"
_REFUSAL: Final = "ESME_RINVDSTADR"


class _Account(NamedTuple):
    id: str
    uid: str


class _Named(NamedTuple):
    """What the events name of a message."""

    message_id: str
    account: _Account
    native: bool
    connector_id: str = CONNECTOR


def publications(workload: Workload) -> Iterator[Publication]:
    """Return what is published, in order."""
    return (publication(workload, step) for step in workload.steps())


def publication(workload: Workload, step: Step) -> Publication:
    """Return what is published of an event."""
    what, sms = step
    is_native = workload.kind in {Kind.NATIVE, Kind.ANSWERS}
    account = _Account(account_id(workload.seed, sms.account), f"account-{sms.account}")
    named = _Named(sms.message_id, account, is_native)
    if what == "bill":
        return formats.bill(named, bill_id(sms), str(sms.price), bill_status(sms))
    if what == "answer":
        return formats.answer(named, sms.operator_id, "ESME_ROK")
    report = _native_report(sms) if is_native else _contract_report(sms)
    return formats.receipt(named, sms.operator_id, sms.fate, report)


def error_code(sms: Sms) -> str:
    """Return the ``err`` of its receipt."""
    return "000" if sms.fate == _DELIVERED else "011"


def bill_id(sms: Sms) -> str:
    """Return the id of its charge."""
    return f"b{sms.message_id[1:]}"


def bill_status(sms: Sms) -> str:
    """Return what its charge says of the submission."""
    return _REFUSAL if sms.is_refused else "ESME_ROK"


def done_date(sms: Sms, kind: Kind) -> str:
    """Return the ``done_date`` of its receipt."""
    return date(sms.done_at, CONTRACT_DATE if kind is Kind.JSON else NATIVE_DATE)


def _contract_report(sms: Sms) -> Report:
    is_delivered = sms.fate == _DELIVERED
    return Report(
        date(sms.submitted_at, CONTRACT_DATE),
        done_date(sms, Kind.JSON),
        error_code(sms),
        text="Message delivered" if is_delivered else "Message not delivered",
        dlvrd="001" if is_delivered else "000",
    )


def _native_report(sms: Sms) -> Report:
    submitted = date(sms.submitted_at, NATIVE_DATE)
    return Report(submitted, done_date(sms, Kind.NATIVE), error_code(sms), text="hello")
