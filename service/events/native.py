"""What a stock Jasmin publishes: plain text bodies, the details in headers and properties.

The header names and the meaning of the message-id property are those of Jasmin 0.10's
``jasmin.managers.content`` classes for DLRs and bills, seen on the wire.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import orjson

from service.events import fields
from service.events.contract import RECEIPTS, SUBMIT_SM_RESP
from service.events.message import Content
from service.events.records import BillEvent, DlrEvent, Receipt, Refused, SubmitResult
from service.events.statuses import status_of

# Jasmin's header for each detail of the JSON contract.
_DETAILS = {
    "id": "dlr_id",
    "sub": "dlr_sub",
    "dlvrd": "dlr_dlvrd",
    "submit_date": "dlr_sdate",
    "done_date": "dlr_ddate",
    "stat": "dlr_stat",
    "err": "dlr_err",
    "text": "dlr_text",
}

_ESCAPED_NUL = b"\\u0000"


def dlr(message: Content, zone: ZoneInfo) -> DlrEvent:
    """Decode ``dlr.submit_sm_resp`` or ``dlr.deliver_sm`` of a stock Jasmin.

    Raises:
        Refused: a property, header or body is missing, empty or of the wrong type.
    """
    kind = _text(message, "type")
    if kind == SUBMIT_SM_RESP:
        smpp_msgid = _text(message, "smpp_msgid")
        return SubmitResult(
            message_id=_message_id(message),
            status=status_of(_body(message)),
            smpp_msgid=fields.operator_id(smpp_msgid or "") or None,
        )
    if kind not in RECEIPTS:
        raise Refused(f"unknown type header: {kind!r:.60}")
    return _receipt(message, zone)


def bill(message: Content) -> BillEvent:
    """Decode ``bill_request.submit_sm_resp.UID`` of a stock Jasmin: published on success only.

    Raises:
        Refused: the bill id, ``user-id`` or ``amount`` is missing or impossible.
    """
    uid, amount = _text(message, "user-id"), _text(message, "amount")
    return BillEvent(
        bid=fields.identifier("the bill id", _body(message)),
        uid=fields.identifier("header user-id", uid or ""),
        amount=fields.amount(amount or ""),
        message_id=None,
        connector_id=None,
        status=status_of("ESME_ROK"),
    )


def _receipt(message: Content, zone: ZoneInfo) -> Receipt:
    headers = message.headers
    details: dict[str, str] = {}
    for name, header in _DETAILS.items():
        text = headers.get(header)
        if text is None:
            continue
        details[name] = text if type(text) is str else _as_text(header, text)
    as_json = orjson.dumps(details)
    if _ESCAPED_NUL in as_json:
        for name, text in details.items():
            _storable(f"header {_DETAILS[name]}", text)
    smpp_msgid = fields.operator_id(_message_id(message))
    given = fields.operator_id(details.get("id", ""))
    operator_ids = tuple(filter(None, {smpp_msgid: None, given: None}))
    if not operator_ids:
        raise Refused("the operator's message id is empty")
    return Receipt(
        None,
        operator_ids,
        operator_ids[0],
        _text(message, "cid"),
        status_of(_body(message)),
        fields.done_date(details.get("done_date", ""), zone),
        details.get("err"),
        as_json.decode(),
    )


def _message_id(message: Content) -> str:
    if not message.message_id or not message.message_id.strip():
        raise Refused("property message-id is missing")
    return _storable("property message-id", message.message_id)


def _body(message: Content) -> str:
    try:
        text = message.body.decode().strip()
    except UnicodeDecodeError:
        raise Refused("body is not UTF-8 text") from None
    if not text:
        raise Refused("body is empty")
    return _storable("body", text)


def _text(message: Content, header: str) -> str | None:
    """Return a header as text that can be stored, or None."""
    value = message.headers.get(header)
    return None if value is None else _storable(f"header {header}", _as_text(header, value))


def _as_text(header: str, value: object) -> str:
    """Return a header's value as text. Octets that are no UTF-8 are kept as escapes."""
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="backslashreplace")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise Refused(f"header {header} is no text but {type(value).__name__}")
    return value


def _storable(name: str, text: str) -> str:
    if "\0" in text:
        raise Refused(f"{name} contains a NUL character")
    return text
