"""Events as they are on the wire: the JSON contract, and a stock Jasmin's native format.

The native ones have the properties and headers of ``tests/data/jasmin-0.10.13.jsonl``, in the same
order; the JSON ones have every field of the contract.
"""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from bench.lab.wire import Publication
from bench.lab.workload import CONNECTOR, Kind, Sms, Step, Workload, account_id, date

CONTRACT_DATE: Final = "%Y-%m-%d %H:%M:%S"
NATIVE_DATE: Final = "%y%m%d%H%M"
_DELIVERED: Final = "DELIVRD"
_REFUSAL: Final = "ESME_RINVDSTADR"


def publications(workload: Workload) -> Iterator[Publication]:
    """Return what is published, in order."""
    return (publication(workload, step) for step in workload.steps())


def publication(workload: Workload, step: Step) -> Publication:
    """Return what is published of an event."""
    what, sms = step
    if what == "bill":
        return _bill(sms, account_id(workload.seed, sms.account))
    if what == "answer":
        return _answer(sms)
    return _receipt(sms) if workload.kind is Kind.JSON else _native_receipt(sms)


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


def details(sms: Sms) -> dict[str, Any]:
    """Return the ``dlr_details`` of its receipt."""
    is_delivered = sms.fate == _DELIVERED
    return {
        "id": sms.operator_id.lower(),
        "sub": "001",
        "dlvrd": "001" if is_delivered else "000",
        "submit_date": date(sms.submitted_at, CONTRACT_DATE),
        "done_date": done_date(sms, Kind.JSON),
        "stat": sms.fate,
        "err": error_code(sms),
        "text": "Message delivered" if is_delivered else "Message not delivered",
    }


def _receipt(sms: Sms) -> Publication:
    contract = {
        "message_id": sms.message_id,
        "status": sms.fate,
        "pdu_type": "deliver_sm",
        "smpp_msgid": sms.operator_id,
        "dlr_details": details(sms),
    }
    return Publication(orjson.dumps(contract))


def _native_receipt(sms: Sms) -> Publication:
    headers = {
        "type": "deliver_sm",
        "cid": CONNECTOR,
        "dlr_dlvrd": "001",
        "dlr_sub": "001",
        "dlr_sdate": date(sms.submitted_at, NATIVE_DATE),
        "dlr_ddate": done_date(sms, Kind.NATIVE),
        "dlr_err": error_code(sms),
        "dlr_text": "hello",
        "dlr_id": sms.operator_id.lower(),
        "dlr_stat": sms.fate,
    }
    return Publication(sms.fate.encode(), sms.operator_id, headers)


def _answer(sms: Sms) -> Publication:
    headers = {"type": "submit_sm_resp", "smpp_msgid": sms.operator_id}
    return Publication(b"ESME_ROK", sms.message_id, headers)


def _bill(sms: Sms, account: str) -> Publication:
    contract = {
        "bid": bill_id(sms),
        "user": {"uid": account, "username": f"account-{sms.account}"},
        # Digit by digit: no float comes in between.
        "amounts": {"submit_sm_resp": orjson.Fragment(str(sms.price))},
        "message_id": sms.message_id,
        "connector_id": CONNECTOR,
        "status": bill_status(sms),
    }
    return Publication(orjson.dumps(contract))
