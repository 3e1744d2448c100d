"""Lets a message pass whose properties pamqp cannot decode, so that it can be refused.

To the AMQP library such a message is a broken connection; the broker would deliver it again on
the next one, to every worker, for ever. RabbitMQ itself lets any of these through.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from pamqp import decode

from service.events.message import UNREADABLE

_TIMESTAMP_BYTES: Final = 8
_SHORT_STRING_BYTES: Final = 255

_strict = dict(decode.METHODS)


def install() -> None:
    """Make this process's decoding of AMQP properties lenient; may be called again."""
    decode.METHODS |= {"shortstr": _short_str, "table": _table, "timestamp": _timestamp}


def _short_str(value: bytes) -> tuple[int, Any]:
    """Decode a short string; octets that are no UTF-8 become escapes, as many as fit one again."""
    length = value[0]
    octets = value[1 : length + 1]
    try:
        return length + 1, octets.decode()
    except UnicodeDecodeError:
        escaped = octets.decode(errors="backslashreplace").encode()
        return length + 1, escaped[:_SHORT_STRING_BYTES].decode(errors="ignore")


def _table(value: bytes) -> tuple[int, Any]:
    """Decode a header table; one that cannot be read becomes a single header that says so."""
    try:
        return _strict["table"](value)
    except (ValueError, OverflowError, OSError, RecursionError) as error:
        (length,) = struct.unpack_from(">I", value)
        return length + 4, {UNREADABLE: f"{type(error).__name__}: {error}"}


def _timestamp(value: bytes) -> tuple[int, Any]:
    """Decode a timestamp; None where there is no such time."""
    try:
        return _strict["timestamp"](value)
    except (ValueError, OverflowError, OSError):
        return _TIMESTAMP_BYTES, None
