"""Tells the two shapes of each stream apart by their content."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from service.events import contract, native
from service.events.message import Content
from service.events.records import BillEvent, DlrEvent, Refused

_WHITESPACE = b" \t\r\n"
_NESTED = frozenset({dict, list})
# Jasmin nests none; what is nested very deeply could be decoded but not parked.
_DEEPEST_HEADER = 32


class DlrDecoder:
    """Decodes queue ``billing_service.dlr``; ``zone`` is that of the receipts' dates."""

    def __init__(self, zone: ZoneInfo, max_body_bytes: int) -> None:
        self._zone = zone
        self._max_body_bytes = max_body_bytes

    def __call__(self, message: Content) -> DlrEvent:
        """Return what the message says.

        Raises:
            Refused: it can never be applied.
        """
        _check_limits(message, self._max_body_bytes)
        if _is_json(message):
            return contract.dlr(message, self._zone)
        if "type" in message.headers:
            return native.dlr(message, self._zone)
        raise Refused("neither the JSON contract nor a native DLR: no JSON object, no type header")


class BillDecoder:
    """Decodes queue ``billing_service.submit_sm_resp``."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes

    def __call__(self, message: Content) -> BillEvent:
        """Return what the message says.

        Raises:
            Refused: it can never be applied.
        """
        _check_limits(message, self._max_body_bytes)
        if _is_json(message):
            return contract.bill(message)
        if "amount" in message.headers and "user-id" in message.headers:
            return native.bill(message)
        raise Refused(
            "neither the JSON contract nor a native bill: no JSON object, no amount and user-id "
            "headers"
        )


def _is_json(message: Content) -> bool:
    body = message.body
    return body.startswith(b"{") or body.lstrip(_WHITESPACE).startswith(b"{")


def _check_limits(message: Content, limit: int) -> None:
    if not message.body:
        raise Refused("body is empty")
    if len(message.body) > limit:
        raise Refused(f"body of {len(message.body):,} bytes is longer than {limit}")
    if _NESTED.isdisjoint(map(type, message.headers.values())):
        return
    for name, value in message.headers.items():
        if not _is_shallow(value, _DEEPEST_HEADER):
            raise Refused(f"header {name} is nested too deeply")


def _is_shallow(value: object, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in inner)
