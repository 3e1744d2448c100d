"""The JSON contract of both streams, as the specification writes it.

Types are checked while parsing, and amounts are taken from the text of the message, never
through a float.
"""

from __future__ import annotations

from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from service.events import fields
from service.events.message import Content
from service.events.records import BillEvent, DlrEvent, Receipt, Refused, SubmitResult
from service.events.statuses import status_of

T = TypeVar("T")
NULL = msgspec.Raw(b"null")


class _Details(msgspec.Struct):
    done_date: str | int | None = None
    err: str | int | None = None


class _Texts(msgspec.Struct, forbid_unknown_fields=True):
    """The details of the specification, as texts: there is no number in them to be checked."""

    id: str = ""
    sub: str = ""
    dlvrd: str = ""
    submit_date: str = ""
    done_date: str | None = None
    stat: str = ""
    err: str | None = None
    text: str = ""


class _Dlr(msgspec.Struct):
    message_id: str
    status: str
    pdu_type: str | None = None
    smpp_msgid: str | int | None = None
    dlr_details: msgspec.Raw = NULL


class _User(msgspec.Struct):
    uid: str


class _Amounts(msgspec.Struct):
    submit_sm_resp: msgspec.Raw


class _Bill(msgspec.Struct):
    bid: str
    user: _User
    amounts: _Amounts
    message_id: str
    status: str
    connector_id: str | None = None


_DLR = msgspec.json.Decoder(_Dlr)
_DETAILS = msgspec.json.Decoder(_Details | None)
_TEXTS = msgspec.json.Decoder(_Texts)
_BILL = msgspec.json.Decoder(_Bill)
_ANYTHING = msgspec.json.Decoder(float_hook=str)  # only looked through; no number is too large

SUBMIT_SM_RESP = "submit_sm_resp"
RECEIPTS = frozenset({"deliver_sm", "data_sm"})


def dlr(message: Content, zone: ZoneInfo) -> DlrEvent:
    """Decode a body of the ``dlr.#`` contract.

    Raises:
        Refused: not valid JSON, a field missing or of the wrong type, an unknown ``pdu_type``.
    """
    event = _parse(_DLR, message.body)
    done_date, error_code, details = _details(event.dlr_details)
    message_id = fields.identifier("message_id", event.message_id)
    status = status_of(fields.identifier("status", event.status))
    smpp_msgid = fields.operator_id(str(event.smpp_msgid or "")) or None
    pdu_type = event.pdu_type
    if pdu_type == SUBMIT_SM_RESP or (pdu_type is None and status.text.startswith("ESME_")):
        return SubmitResult(message_id, status, smpp_msgid)
    if pdu_type is not None and pdu_type not in RECEIPTS:
        raise Refused(f"unknown pdu_type: {pdu_type[:40]!r}")
    return Receipt(
        message_id,
        (),
        smpp_msgid,
        None,
        status,
        None if done_date is None else fields.done_date(done_date, zone),
        error_code,
        details,
    )


def _details(raw: msgspec.Raw) -> tuple[str | None, str | None, str | None]:
    """Return the done date, the error code, and all details as text; None where there are none."""
    if raw is NULL:
        return None, None, None
    try:
        texts = _TEXTS.decode(raw)
    except msgspec.MsgspecError:
        return _other_details(raw)
    return texts.done_date, texts.err, bytes(raw).decode()


def _other_details(raw: msgspec.Raw) -> tuple[str | None, str | None, str | None]:
    details = _parse(_DETAILS, raw)
    if details is None:
        return None, None, None
    octets = bytes(raw)
    fields.check_numbers(octets)
    done, error_code = details.done_date, details.err
    return (
        None if done is None else str(done),
        None if error_code is None else str(error_code),
        octets.decode(),
    )


def bill(message: Content) -> BillEvent:
    """Decode a body of the ``bill_request.submit_sm_resp.#`` contract.

    Raises:
        Refused: not valid JSON, a field missing or of the wrong type, an impossible amount.
    """
    event = _parse(_BILL, message.body)
    status = status_of(fields.identifier("status", event.status))
    if not status.text.startswith("ESME_"):
        raise Refused(f"status is no SMPP command status: {status.text[:40]!r}")
    return BillEvent(
        bid=fields.identifier("bid", event.bid),
        uid=fields.identifier("user.uid", event.user.uid),
        amount=fields.amount(_number_text(event.amounts.submit_sm_resp)),
        message_id=fields.identifier("message_id", event.message_id),
        connector_id=event.connector_id,
        status=status,
    )


def _parse(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    try:
        if isinstance(body, bytes):
            _storable(body)
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise Refused(f"body is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise Refused("JSON is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise Refused(f"not the JSON contract: {error}") from None
    except msgspec.DecodeError as error:
        raise Refused(f"not valid JSON: {error}") from None


def _storable(body: bytes) -> None:
    """Refuse what PostgreSQL cannot store, before it fails a whole batch.

    Fields that no decoder looks at are passed on as they came, so the body is checked as a
    whole; escapes are rare enough to be worth a full parse.
    """
    if not body.isascii():
        body.decode()
    if b"\\u" in body and _has_nul(_ANYTHING.decode(body)):
        raise Refused("a text contains a NUL character")


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _number_text(raw: msgspec.Raw) -> str:
    """Return the text of a JSON number, which may also be written as a string."""
    text = bytes(raw).decode()
    return text[1:-1] if text.startswith('"') else text
