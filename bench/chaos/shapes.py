"""Events as Jasmin puts them on the wire: the JSON contract, and its native format."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from bench.chaos.plan import Event, Sms
from bench.chaos.rubbish import Rubbish

EXCHANGES: Final = {"dlr": "messaging", "bill": "billing"}
_DATE: Final = "2411231200"


class Publication(NamedTuple):
    """A message, and where it goes."""

    exchange: str
    routing_key: str
    body: bytes
    message_id: str | None = None
    headers: Mapping[str, Any] = MappingProxyType({})


def publication(what: Event | Rubbish) -> Publication:
    """Return an event, or rubbish, as it is published."""
    if isinstance(what, Rubbish):
        key = "dlr.deliver_sm" if what.stream == "dlr" else "bill_request.submit_sm_resp.rubbish"
        return Publication(EXCHANGES[what.stream], key, what.body, what.message_id, what.headers)
    make = {"answer": _answer, "receipt": _receipt, "part": _receipt, "bill": _bill}[what.kind]
    return make(what)


def _answer(event: Event) -> Publication:
    sms = event.sms
    # Only a submission that the operator took has an id there.
    link = {"smpp_msgid": event.key} if event.status == "ESME_ROK" else {}
    if sms.native:
        headers = {"type": "submit_sm_resp", **link}
        return _dlr("submit_sm_resp", event.text.encode(), sms.message_id, headers)
    contract = {"message_id": sms.message_id, "status": event.text, "pdu_type": "submit_sm_resp"}
    return _dlr("submit_sm_resp", json.dumps(contract | link).encode())


def _receipt(event: Event) -> Publication:
    sms = event.sms
    operator_id = _receipt_id(event)
    details = {
        "id": operator_id,
        "sub": "001",
        "dlvrd": "001",
        "stat": event.text,
        "err": "000",
        "text": event.key,
    }
    if sms.native:
        headers = {f"dlr_{name}": text for name, text in details.items()}
        headers |= {"dlr_sdate": _DATE, "dlr_ddate": _DATE}
        headers |= {"type": "deliver_sm", "cid": sms.connector_id}
        return _dlr("deliver_sm", event.text.encode(), operator_id, headers)
    contract = {
        "message_id": sms.message_id,
        "status": event.text,
        "pdu_type": "deliver_sm",
        "smpp_msgid": operator_id,
        "dlr_details": {**details, "submit_date": _DATE, "done_date": _DATE},
    }
    return _dlr("deliver_sm", json.dumps(contract).encode())


def _receipt_id(event: Event) -> str:
    """Return the operator's id in hexadecimal, in which every receipt has it here."""
    sms = event.sms
    last = int(sms.operator_id, 10 if sms.operator_id.isdecimal() else 16)
    before = int(event.key.rpartition("-")[2]) + 1 if event.kind == "part" else 0
    return f"{last - before:x}"


def _bill(event: Event) -> Publication:
    sms = event.sms
    key = f"bill_request.submit_sm_resp.{sms.account.uid}"
    if sms.native:
        headers = {"user-id": sms.account.uid, "amount": event.amount}
        return Publication(EXCHANGES["bill"], key, event.key.encode(), event.key, headers)
    return Publication(EXCHANGES["bill"], key, _contract_bill(event, sms))


def _contract_bill(event: Event, sms: Sms) -> bytes:
    contract = {
        "bid": event.key,
        "user": {"uid": str(sms.account.id), "username": sms.account.uid},
        "amounts": {"submit_sm_resp": 0},
        "message_id": sms.message_id,
        "connector_id": sms.connector_id,
        "status": event.text,
    }
    # Written digit by digit: no float comes between the plan and the wire.
    return (
        json.dumps(contract)
        .replace('"submit_sm_resp": 0', f'"submit_sm_resp": {event.amount}')
        .encode()
    )


def _dlr(
    kind: str,
    body: bytes,
    message_id: str | None = None,
    headers: Mapping[str, Any] = MappingProxyType({}),
) -> Publication:
    return Publication(EXCHANGES["dlr"], f"dlr.{kind}", body, message_id, headers)
