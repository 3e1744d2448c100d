"""The JSON contract of both streams, as the specification writes it.

Types are checked while parsing, and amounts are taken from the text of the message, never
through a float.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import starmap
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from service.events import fields
from service.events.records import BillEvent, DlrEvent, Receipt, Refused, SubmitResult
from service.events.statuses import status_of

T = TypeVar("T")
NULL = msgspec.Raw(b"null")
# Done date, error code, and all details as text.
_Detail = tuple[str | None, str | None, str | None]
_NO_DETAIL: _Detail = (None, None, None)


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
_TEXTS = msgspec.json.Decoder(_Texts | None)
_BILL = msgspec.json.Decoder(_Bill)
_ANYTHING = msgspec.json.Decoder(float_hook=str)  # only looked through; no number is too large

SUBMIT_SM_RESP = "submit_sm_resp"
RECEIPTS = frozenset({"deliver_sm", "data_sm"})
_KINDS = RECEIPTS | {SUBMIT_SM_RESP, None}


def dlrs(bodies: Sequence[bytes], zone: ZoneInfo) -> list[DlrEvent]:
    """Decode bodies of the ``dlr.#`` contract.

    Raises:
        Refused: in one of them, not valid JSON, a field missing or of the wrong type, an unknown
            ``pdu_type``.
    """
    parsed = _parse(_DLR, bodies)
    kinds = [each.pdu_type for each in parsed]
    for kind in set(kinds) - _KINDS:
        raise Refused(f"unknown pdu_type: {str(kind)[:40]!r}")
    details = _details([each.dlr_details for each in parsed])
    fields.check_storable("dlr_details.err", [code for _, code, _ in details if code])
    events = zip(
        kinds,
        fields.identifiers("message_id", [each.message_id for each in parsed]),
        map(status_of, fields.identifiers("status", [each.status for each in parsed])),
        fields.operator_ids([str(each.smpp_msgid or "") for each in parsed]),
        details,
        strict=True,
    )
    return [
        SubmitResult(message_id, status, smpp_msgid or None)
        if kind == SUBMIT_SM_RESP or (kind is None and status.is_command_status)
        else Receipt(
            message_id,
            (),
            smpp_msgid or None,
            None,
            status,
            fields.done_date(done_date, zone),
            error_code,
            as_json,
        )
        for kind, message_id, status, smpp_msgid, (done_date, error_code, as_json) in events
    ]


def _details(raws: Sequence[msgspec.Raw]) -> list[_Detail]:
    """Return the done date, the error code, and all details as text; None where there are none."""
    try:
        parsed = list(map(_TEXTS.decode, raws))
    except msgspec.MsgspecError:
        if len(raws) == 1:
            return [_other_details(raws[0])]
        return [detail for raw in raws for detail in _details([raw])]
    return [
        _NO_DETAIL if texts is None else (texts.done_date, texts.err, str(raw, "utf-8"))
        for texts, raw in zip(parsed, raws, strict=True)
    ]


def _other_details(raw: msgspec.Raw) -> _Detail:
    with _refusing():
        details = _DETAILS.decode(raw)
    if details is None:
        return _NO_DETAIL
    octets = bytes(raw)
    fields.check_numbers(octets)
    done, error_code = details.done_date, details.err
    return (
        None if done is None else str(done),
        None if error_code is None else str(error_code),
        octets.decode(),
    )


def bills(bodies: Sequence[bytes]) -> list[BillEvent]:
    """Decode bodies of the ``bill_request.submit_sm_resp.#`` contract.

    Raises:
        Refused: in one of them, not valid JSON, a field missing or of the wrong type, an
            impossible amount.
    """
    parsed = _parse(_BILL, bodies)
    statuses = [
        status_of(text) for text in fields.identifiers("status", [each.status for each in parsed])
    ]
    for status in statuses:
        if not status.is_command_status:
            raise Refused(f"status is no SMPP command status: {status.text[:40]!r}")
    connector_ids = [each.connector_id for each in parsed]
    fields.check_storable("connector_id", filter(None, connector_ids))
    events = zip(
        fields.identifiers("bid", [each.bid for each in parsed]),
        fields.identifiers("user.uid", [each.user.uid for each in parsed]),
        [fields.amount(_number_text(each.amounts.submit_sm_resp)) for each in parsed],
        fields.identifiers("message_id", [each.message_id for each in parsed]),
        connector_ids,
        statuses,
        strict=True,
    )
    return list(starmap(BillEvent, events))


def _parse(decoder: msgspec.json.Decoder[T], bodies: Sequence[bytes]) -> list[T]:
    with _refusing():
        _check_storable(bodies)
        return list(map(decoder.decode, bodies))


@contextmanager
def _refusing() -> Iterator[None]:
    """Say why a body cannot be parsed."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise Refused(f"body is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise Refused("JSON is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise Refused(f"not the JSON contract: {error}") from None
    except msgspec.DecodeError as error:
        raise Refused(f"not valid JSON: {error}") from None


def _check_storable(bodies: Sequence[bytes]) -> None:
    """Refuse what PostgreSQL cannot store, before it fails a whole batch.

    Fields that no decoder looks at are passed on as they came, so bodies are checked as a whole;
    escapes are rare enough to be worth a full parse.
    """
    together = b"\n".join(bodies)
    if not together.isascii():
        for body in bodies:
            body.decode()
    if b"\\" not in together:
        return
    for body in bodies:
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
