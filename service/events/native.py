"""What a stock Jasmin publishes: plain text bodies, the details in headers and properties.

The header names and the meaning of the message-id property are those of Jasmin 0.10's
``jasmin.managers.content`` classes for DLRs and bills, seen on the wire.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import orjson

from service.events import fields
from service.events.contract import RECEIPTS, SUBMIT_SM_RESP
from service.events.message import Message
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


def dlr(message: Message, zone: ZoneInfo) -> DlrEvent:
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


def bill(message: Message) -> BillEvent:
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


def _receipt(message: Message, zone: ZoneInfo) -> Receipt:
    details = {
        name: text
        for name, header in _DETAILS.items()
        if (text := _text(message, header)) is not None
    }
    smpp_msgid = fields.operator_id(_message_id(message))
    given = fields.operator_id(details.get("id", ""))
    operator_ids = tuple(dict.fromkeys(filter(None, (smpp_msgid, given))))
    if not operator_ids:
        raise Refused("the operator's message id is empty")
    return Receipt(
        message_id=None,
        operator_ids=operator_ids,
        guessed_ids=tuple(f for f in fields.other_forms(given) if f not in operator_ids),
        smpp_msgid=operator_ids[0],
        connector_id=_text(message, "cid"),
        status=status_of(_body(message)),
        done_at=fields.done_date(details.get("done_date", ""), zone),
        error_code=details.get("err"),
        details=orjson.dumps(details).decode(),
    )


def _message_id(message: Message) -> str:
    if not message.message_id or not message.message_id.strip():
        raise Refused("property message-id is missing")
    return _storable("property message-id", message.message_id)


def _body(message: Message) -> str:
    try:
        text = message.body.decode().strip()
    except UnicodeDecodeError:
        raise Refused("body is not UTF-8 text") from None
    if not text:
        raise Refused("body is empty")
    return _storable("body", text)


def _text(message: Message, header: str) -> str | None:
    """Return a header as text, or None. Octets that are no UTF-8 are kept as escapes."""
    value = message.headers.get(header)
    if value is None:
        return None
    if isinstance(value, bytes | bytearray):
        value = value.decode(errors="backslashreplace")
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise Refused(f"header {header} is no text but {type(value).__name__}")
    return _storable(f"header {header}", value)


def _storable(name: str, text: str) -> str:
    if "\0" in text:
        raise Refused(f"{name} contains a NUL character")
    return text
