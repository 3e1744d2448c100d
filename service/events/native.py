"""What a stock Jasmin publishes: plain text bodies, the details in headers and properties.

The header names and the meaning of the message-id property are those of Jasmin 0.10's
``jasmin.managers.content`` classes for DLRs and bills, seen on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, UnsetType

from service.events import fields
from service.events.contract import RECEIPTS, SUBMIT_SM_RESP
from service.events.message import Content
from service.events.records import BillEvent, DlrEvent, Receipt, Refused, SubmitResult
from service.events.statuses import Status, status_of

_Text = str | UnsetType


class _Details(msgspec.Struct):
    """The details of a receipt as the JSON contract names them; Jasmin leaves out what it lacks."""

    id: _Text
    sub: _Text
    dlvrd: _Text
    submit_date: _Text
    done_date: _Text
    stat: _Text
    err: _Text
    text: _Text


# Jasmin's headers for them, in the same order.
_HEADERS: Final = (
    *("dlr_id", "dlr_sub", "dlr_dlvrd", "dlr_sdate"),
    *("dlr_ddate", "dlr_stat", "dlr_err", "dlr_text"),
)
# Headers that become a column as they are; a detail may have in it whatever JSON can escape.
_STORED: Final = frozenset({"cid", "dlr_err"})
_TEXTS: Final = frozenset({str, UnsetType})

_to_json = msgspec.json.Encoder().encode


def dlrs(messages: Sequence[Content], zone: ZoneInfo) -> list[DlrEvent]:
    """Decode ``dlr.submit_sm_resp`` or ``dlr.deliver_sm`` of a stock Jasmin.

    Raises:
        Refused: of one of them a property, header or body is missing, empty or of the wrong type.
    """
    kinds = _column([message.headers for message in messages], "type")
    for kind in set(kinds) - RECEIPTS - {SUBMIT_SM_RESP}:
        raise Refused(f"unknown type header: {str(kind or None)[:60]!r}")
    pairs = list(zip(kinds, messages, strict=True))
    answers = iter(_answers([message for kind, message in pairs if kind == SUBMIT_SM_RESP]))
    receipts = iter(_receipts([message for kind, message in pairs if kind in RECEIPTS], zone))
    return [next(answers if kind == SUBMIT_SM_RESP else receipts) for kind in kinds]


def bills(messages: Sequence[Content]) -> list[BillEvent]:
    """Decode ``bill_request.submit_sm_resp.UID`` of a stock Jasmin: published on success only.

    Raises:
        Refused: of one of them the bill id, ``user-id`` or ``amount`` is missing or impossible.
    """
    headers = [message.headers for message in messages]
    events = zip(
        fields.identifiers("body", [_body(message.body) for message in messages]),
        fields.identifiers("header user-id", [text or "" for text in _column(headers, "user-id")]),
        [fields.amount(text or "") for text in _column(headers, "amount")],
        strict=True,
    )
    success = status_of("ESME_ROK")
    return [BillEvent(bid, uid, amount, None, None, success) for bid, uid, amount in events]


def _answers(messages: Sequence[Content]) -> list[DlrEvent]:
    smpp_msgids = _column([message.headers for message in messages], "smpp_msgid")
    events = zip(
        _message_ids(messages),
        [_status(message.body) for message in messages],
        fields.operator_ids([text or "" for text in smpp_msgids]),
        strict=True,
    )
    return [
        SubmitResult(message_id, status, smpp_msgid or None)
        for message_id, status, smpp_msgid in events
    ]


def _receipts(messages: Sequence[Content], zone: ZoneInfo) -> list[DlrEvent]:
    headers = [message.headers for message in messages]
    details = list(map(_Details, *(_column(headers, name) for name in _HEADERS)))
    events = zip(
        fields.operator_ids(_message_ids(messages)),
        fields.operator_ids([each.id or "" for each in details]),
        _column(headers, "cid"),
        [_status(message.body) for message in messages],
        details,
        map(_to_json, details),
        strict=True,
    )
    return [
        Receipt(
            None,
            _distinct(smpp_msgid, given),
            smpp_msgid or given,
            connector_id or None,
            status,
            fields.done_date(each.done_date or None, zone),
            None if each.err is UNSET else each.err,
            as_json.decode(),
        )
        for smpp_msgid, given, connector_id, status, each, as_json in events
    ]


def _distinct(smpp_msgid: str, given: str) -> tuple[str, ...]:
    """Return the ids that may be linked: Jasmin's, and the operator's own where it differs."""
    if smpp_msgid == given or not given:
        if not smpp_msgid:
            raise Refused("the operator's message id is empty")
        return (smpp_msgid,)
    return (smpp_msgid, given) if smpp_msgid else (given,)


def _message_ids(messages: Sequence[Content]) -> list[str]:
    ids = [message.message_id or "" for message in messages]
    if not all(map(str.strip, ids)):
        raise Refused("property message-id is missing")
    fields.check_storable("property message-id", ids)
    return ids


def _column(headers: Sequence[dict[str, Any]], name: str) -> list[_Text]:
    """Return a header of each message as text that can be stored, or UNSET."""
    values = [each.get(name, UNSET) for each in headers]
    if not _TEXTS.issuperset(map(type, values)):
        values = [_as_text(name, value) for value in values]
    texts = [value for value in values if value is not UNSET]
    if name in _STORED:
        fields.check_storable(f"header {name}", texts)
    elif "\0" in "".join(texts):
        raise Refused(f"header {name} contains a NUL character")
    return values


def _as_text(header: str, value: object) -> _Text:
    """Return a header's value as text. Octets that are no UTF-8 are kept as escapes."""
    if value is None or value is UNSET:
        return UNSET
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="backslashreplace")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise Refused(f"header {header} is no text but {type(value).__name__}")
    return value


def _status(body: bytes) -> Status:
    return _bare_status(body.strip())


@lru_cache(maxsize=1024)  # a body is a status, and nothing else
def _bare_status(body: bytes) -> Status:
    return status_of(fields.identifier("body", _body(body)))


def _body(body: bytes) -> str:
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        raise Refused("body is not UTF-8 text") from None
    if not text:
        raise Refused("body is empty")
    return text
