"""Messages to test with: Jasmin's own, as captured, and the examples of the JSON contract."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from service.events.message import Message

E = TypeVar("E")

ROOT = Path(__file__).parents[2]
CAPTURE = ROOT / "tests/data/jasmin-0.10.13.jsonl"
MAX_BODY = 65_536
UTC_ZONE = ZoneInfo("UTC")

DLR = {
    "message_id": "msg-uuid",
    "status": "DELIVRD",
    "pdu_type": "deliver_sm",
    "smpp_msgid": "operator-message-id",
    "dlr_details": {
        "id": "operator-dlr-id",
        "sub": "1",
        "dlvrd": "1",
        "submit_date": "2024-01-01 12:00:00",
        "done_date": "2024-01-01 12:00:05",
        "stat": "DELIVRD",
        "err": "000",
        "text": "Message delivered",
    },
}
BILL = {
    "bid": "unique-bill-id",
    "user": {"uid": "account-uuid", "username": "account-name"},
    "amounts": {"submit_sm_resp": 0.01},
    "message_id": "msg-uuid",
    "connector_id": "smpp-connector-1",
    "status": "ESME_ROK",
}


def captured(prefix: str) -> list[Message]:
    """Return the captured messages whose routing key starts with ``prefix``."""
    with CAPTURE.open() as lines:
        rows = [json.loads(line) for line in lines]
    return [_message(row) for row in rows if row["routing_key"].startswith(prefix)]


def _message(row: dict[str, Any]) -> Message:
    headers = {
        name: b64decode(value["$base64"]) if isinstance(value, dict) else value
        for name, value in row["headers"].items()
    }
    body = b64decode(row["body_base64"])
    return Message(row["exchange"], row["routing_key"], row["message_id"], headers, body)


def without(contract: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the contract's example without the field at a dotted path."""
    return _changed(contract, path, None, drop=True)


def changed(contract: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the contract's example with another value at a dotted path."""
    return _changed(contract, path, value, drop=False)


def _changed(contract: dict[str, Any], path: str, value: Any, *, drop: bool) -> dict[str, Any]:
    copy = json.loads(json.dumps(contract))
    *outer, last = path.split(".")
    holder = copy
    for name in outer:
        holder = holder[name]
    if drop:
        del holder[last]
    else:
        holder[last] = value
    return copy


def dlr_json(body: dict[str, Any] | bytes = DLR) -> Message:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Message("messaging", "dlr.deliver_sm", None, {}, raw)


def bill_json(body: dict[str, Any] | bytes = BILL) -> Message:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Message("billing", "bill_request.submit_sm_resp.u1", None, {}, raw)


def bill_json_amount(written: str) -> Message:
    """Return a billing event whose amount is written just so."""
    return bill_json(json.dumps(BILL).replace("0.01", written).encode())


def receipt(
    message_id: str | None = "6B04", body: bytes = b"DELIVRD", **headers: object
) -> Message:
    """Return a native receipt."""
    table = {"type": "deliver_sm", "cid": "smsc1", "dlr_id": "6b04", **headers}
    return Message("messaging", "dlr.deliver_sm", message_id, table, body)


def submit_result(
    message_id: str | None = "m1", body: bytes = b"ESME_ROK", **headers: object
) -> Message:
    """Return the native answer to a submission."""
    table = {"type": "submit_sm_resp", **headers}
    return Message("messaging", "dlr.submit_sm_resp", message_id, table, body)


def bill(body: bytes = b"bill-1", **headers: object) -> Message:
    """Return a native bill."""
    table: dict[str, Any] = {"user-id": "acct-1", "amount": "0.01"}
    table |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Message("billing", "bill_request.submit_sm_resp.acct-1", "bill-1", table, body)


def with_headers(message: Message, headers: dict[str, Any]) -> Message:
    return msgspec.structs.replace(message, headers=headers)


def one_by_one(decode: Callable[[Sequence[Message]], list[E]]) -> Callable[[Message], E]:
    """Return a decoder of single messages."""

    def decode_one(message: Message) -> E:
        [event] = decode([message])
        return event

    return decode_one
