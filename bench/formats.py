"""Events as Jasmin publishes them: in its native format, and in that of the JSON contract.

The native ones have the properties and headers of ``tests/data/jasmin-0.10.13.jsonl``, in the same
order; the JSON ones have every field of the contract.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

import orjson

from service.broker.topology import BILL, DLR

_SUB: Final = "001"


class Publication(NamedTuple):
    """A message, and where it goes."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str | None = None
    headers: Mapping[str, Any] = MappingProxyType({})


class Account(Protocol):
    """A customer: its UUID, which the JSON contract has, and its uid in Jasmin."""

    @property
    def id(self) -> UUID | str: ...
    @property
    def uid(self) -> str: ...


class Sms(Protocol):
    """What is named of a message; ``native`` chooses the format of its events."""

    @property
    def message_id(self) -> str: ...
    @property
    def account(self) -> Account: ...
    @property
    def connector_id(self) -> str: ...
    @property
    def native(self) -> bool: ...


class Report(NamedTuple):
    """What the operator says in a delivery receipt, besides the status; dates as it writes them."""

    submit_date: str
    done_date: str
    err: str
    text: str
    dlvrd: str = "001"


def answer(sms: Sms, operator_id: str, status: str) -> Publication:
    """The operator's answer to one submission."""
    # Only a submission that the operator took has an id there.
    link = {"smpp_msgid": operator_id} if status == "ESME_ROK" else {}
    kind = "submit_sm_resp"
    if sms.native:
        return _dlr(kind, status.encode(), sms.message_id, {"type": kind, **link})
    contract = {"message_id": sms.message_id, "status": status, "pdu_type": kind, **link}
    return _dlr(kind, orjson.dumps(contract))


def receipt(sms: Sms, operator_id: str, status: str, report: Report) -> Publication:
    """A delivery receipt for one part."""
    kind = "deliver_sm"
    if sms.native:
        headers = {
            "type": kind,
            "cid": sms.connector_id,
            "dlr_dlvrd": report.dlvrd,
            "dlr_sub": _SUB,
            "dlr_sdate": report.submit_date,
            "dlr_ddate": report.done_date,
            "dlr_err": report.err,
            "dlr_text": report.text,
            "dlr_id": operator_id.lower(),
            "dlr_stat": status,
        }
        return _dlr(kind, status.encode(), operator_id, headers)
    contract = {
        "message_id": sms.message_id,
        "status": status,
        "pdu_type": kind,
        "smpp_msgid": operator_id,
        "dlr_details": {
            "id": operator_id.lower(),
            "sub": _SUB,
            "dlvrd": report.dlvrd,
            "submit_date": report.submit_date,
            "done_date": report.done_date,
            "stat": status,
            "err": report.err,
            "text": report.text,
        },
    }
    return _dlr(kind, orjson.dumps(contract))


def bill(sms: Sms, bid: str, amount: str, status: str) -> Publication:
    """The charge for all parts. A stock Jasmin publishes none for what the operator refused."""
    key = f"bill_request.submit_sm_resp.{sms.account.uid}"
    if sms.native:
        headers = {"user-id": sms.account.uid, "amount": amount}
        return Publication(BILL.exchange, key, bid.encode(), bid, headers)
    contract = {
        "bid": bid,
        "user": {"uid": str(sms.account.id), "username": sms.account.uid},
        # Digit by digit: no float comes in between.
        "amounts": {"submit_sm_resp": orjson.Fragment(amount)},
        "message_id": sms.message_id,
        "connector_id": sms.connector_id,
        "status": status,
    }
    return Publication(BILL.exchange, key, orjson.dumps(contract))


def _dlr(
    kind: str,
    body: bytes,
    message_id: str | None = None,
    headers: Mapping[str, Any] = MappingProxyType({}),
) -> Publication:
    return Publication(DLR.exchange, f"dlr.{kind}", body, message_id, headers)
