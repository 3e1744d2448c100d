"""Tells the two shapes of each stream apart by their content.

A batch is decoded as a whole, field by field: a call for each field of a batch costs a fraction of
one for each field of each message. Where that fails its messages are decoded one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from zoneinfo import ZoneInfo

from service.events import contract, native, submissions
from service.events.message import UNREADABLE, Content
from service.events.records import BillEvent, DlrEvent, Refused, Submission

E = TypeVar("E")

_WHITESPACE = b" \t\r\n"
_OPENING = ord("{")


class DlrDecoder:
    """Decodes queue ``billing_service.dlr``; ``zone`` is that of the receipts' dates."""

    def __init__(self, zone: ZoneInfo, max_body_bytes: int) -> None:
        self._zone = zone
        self._max_body_bytes = max_body_bytes

    def __call__(self, messages: Sequence[Content]) -> list[DlrEvent]:
        """Return what each of the messages says.

        Raises:
            Refused: one of them can never be applied.
        """
        return _by_shape(messages, self._max_body_bytes, self._contract, self._native)

    def _contract(self, bodies: Sequence[bytes]) -> list[DlrEvent]:
        return contract.dlrs(bodies, self._zone)

    def _native(self, messages: Sequence[Content]) -> list[DlrEvent]:
        _check_readable(messages)
        if not all("type" in message.headers for message in messages):
            raise Refused(
                "neither the JSON contract nor a native DLR: no JSON object, no type header"
            )
        return native.dlrs(messages, self._zone)


class BillDecoder:
    """Decodes queue ``billing_service.submit_sm_resp``."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes

    def __call__(self, messages: Sequence[Content]) -> list[BillEvent]:
        """Return what each of the messages says.

        Raises:
            Refused: one of them can never be applied.
        """
        return _by_shape(messages, self._max_body_bytes, contract.bills, self._native)

    def _native(self, messages: Sequence[Content]) -> list[BillEvent]:
        _check_readable(messages)
        if not all({"amount", "user-id"} <= message.headers.keys() for message in messages):
            raise Refused(
                "neither the JSON contract nor a native bill: no JSON object, no amount and "
                "user-id headers"
            )
        return native.bills(messages)


class SubmitDecoder:
    """Decodes queue ``billing_service.submit``.

    Args:
        zone: that of Jasmin's host, whose times carry none.
        max_body_bytes: what is longer is not looked at.
        keep_text: whether the messages' texts are wanted.
    """

    def __init__(self, zone: ZoneInfo, max_body_bytes: int, *, keep_text: bool) -> None:
        self._zone = zone
        self._max_body_bytes = max_body_bytes
        self._keep_text = keep_text

    def __call__(self, messages: Sequence[Content]) -> list[Submission]:
        """Return what each of the messages says.

        Raises:
            Refused: one of them can never be applied.
        """
        _check_sizes([message.body for message in messages], self._max_body_bytes)
        _check_readable(messages)
        return submissions.submissions(messages, self._zone, keep_text=self._keep_text)


def decode_each(
    decode: Callable[[Sequence[Content]], list[E]], messages: Sequence[Content]
) -> list[E | Exception]:
    """Decode messages together, or where that fails, one by one.

    Returns:
        For each message what it says, or the error that it alone caused: ``Refused``, or a bug.
    """
    try:
        return list(decode(messages)) if messages else []
    except Exception as error:
        if len(messages) == 1:
            return [error]
    return [event for message in messages for event in decode_each(decode, [message])]


def _by_shape(
    messages: Sequence[Content],
    limit: int,
    decode_json: Callable[[Sequence[bytes]], list[E]],
    decode_native: Callable[[Sequence[Content]], list[E]],
) -> list[E]:
    """Decode each message as what it looks like, and return all in their order."""
    bodies = [message.body for message in messages]
    _check_sizes(bodies, limit)
    are_json = [body[0] == _OPENING or _is_json(body) for body in bodies]
    if all(are_json):
        return decode_json(bodies)
    if not any(are_json):
        return decode_native(messages)
    pairs = list(zip(are_json, messages, strict=True))
    in_json = iter(decode_json([message.body for is_json, message in pairs if is_json]))
    natives = iter(decode_native([message for is_json, message in pairs if not is_json]))
    return [next(in_json if is_json else natives) for is_json in are_json]


def _check_readable(messages: Sequence[Content]) -> None:
    for message in messages:
        if why := message.headers.get(UNREADABLE):
            raise Refused(f"its headers cannot be read: {str(why)[:80]!r}")


def _is_json(body: bytes) -> bool:
    return body.lstrip(_WHITESPACE).startswith(b"{")


def _check_sizes(bodies: Sequence[bytes], limit: int) -> None:
    if not all(bodies):
        raise Refused("body is empty")
    longest = max(map(len, bodies))
    if longest > limit:
        raise Refused(f"body of {longest:,} bytes is longer than {limit}")
