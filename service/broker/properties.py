"""Decodes the properties of a message: quickly what is usual, and with pamqp all that is not.

The layout is that of AMQP 0-9-1, sections 4.2.6.1 (property flags and list) and 4.2.5.5 (field
tables), with the value types as RabbitMQ writes them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec
from pamqp.header import ContentHeader

from service.events.message import NO_MESSAGE_ID, UNREADABLE

# Set by quorum queues on a message that is delivered again: how often it has been before.
DELIVERY_COUNT: Final = "x-delivery-count"
# The same since RabbitMQ 4.3, whose delivery count leaves out what was requeued on purpose.
ACQUIRED_COUNT: Final = "x-acquired-count"
# When it was delivered, where RabbitMQ 4.2 or later is told to say so.
SENT_TIME: Final = "x-opt-rabbitmq-sent-time"

_HEADERS: Final = 0x2000
_OCTETS: Final = 0x1000 | 0x0800  # delivery-mode and priority
_MESSAGE_ID: Final = 0x0080
_USUAL: Final = _HEADERS | _OCTETS | _MESSAGE_ID
_LONG_STRING: Final = ord("S")
_LONG_LONG_INT: Final = ord("l")
# Class and weight of a content header, and room for a size: pamqp wants the whole frame.
_FRAME_START: Final = bytes(12)
# Where the header table begins, behind flags and its length.
_TABLE: Final = 6
# Of a header before its text, but for the name: lengths of both, and the type.
_BEFORE_TEXT: Final = 6
# Publishers without headers or ids send the same few octets every time.
_SHORT: Final = 16
_MOST_SHORT: Final = 256

# What pamqp needs grows with the square of the elements of a table.
_LONGEST_UNUSUAL: Final = 8192
_MOST_LAYOUTS: Final = 1024
_LONGEST_LAYOUT: Final = 1024

_length = struct.Struct(">I").unpack_from
_short: dict[bytes, Properties] = {}
_names: dict[bytes, str] = {}
_layouts: dict[int, _Layout] = {}


class Properties(msgspec.Struct, gc=False):
    """What this service looks at.

    Attributes:
        message_id: as set by the first publisher.
        headers: the header table, without what the broker adds at each delivery.
        timestamp: POSIX time in seconds.
        delivery_count: how often a quorum queue has delivered it before; None where it was not.
    """

    message_id: str | None
    headers: dict[str, Any]
    timestamp: float | None = None
    delivery_count: int | None = None


class _Unusual(Exception):
    """It takes the thorough way."""


class _Layout:
    """Where the texts are in a header; those of one kind of message often differ in them alone.

    Args:
        header: one whose headers are texts.
        spans: where each text is, in their order: headers, then the message id.
        names: of the headers.
    """

    def __init__(self, header: bytes, spans: Sequence[slice], names: list[str]) -> None:
        mask = bytearray(b"\xff" * len(header))
        for span in spans:
            mask[span] = bytes(span.stop - span.start)
        self._mask = int.from_bytes(mask)
        self._fixed = int.from_bytes(header) & self._mask
        self._texts = itemgetter(*spans)
        self._names = names

    def read(self, header: bytes) -> Properties | None:
        """Decode a header of the same length; None where more than its texts is different."""
        if int.from_bytes(header) & self._mask != self._fixed or not header[_TABLE:].isascii():
            return None
        texts = self._texts(header.decode("latin-1"))  # an octet is a character, as in ASCII
        message_id = texts[-1] if len(texts) > len(self._names) else None
        return Properties(message_id, dict(zip(self._names, texts, strict=False)))


def decode(header: bytes) -> Properties:
    """Decode property flags and list; what cannot be read becomes a header that says so."""
    if found := _short.get(header):
        return found
    layout = _layouts.get(len(header))
    try:
        if layout and (found := layout.read(header)):
            return found
        decoded = _quickly(header)
    except (_Unusual, IndexError, UnicodeDecodeError, struct.error):
        return _thoroughly(header)
    if not decoded.headers and len(header) <= _SHORT and len(_short) < _MOST_SHORT:
        _short[header] = decoded
    is_common = len(header) <= _LONGEST_LAYOUT and len(_layouts) < _MOST_LAYOUTS
    if decoded.headers and not layout and is_common:
        _learn(header, decoded)
    return decoded


def _learn(header: bytes, decoded: Properties) -> None:
    """Remember the layout of a header whose values are all texts."""
    spans = []
    at = _TABLE
    for name, value in decoded.headers.items():
        if not isinstance(value, str):
            return
        at += len(name.encode()) + _BEFORE_TEXT
        spans.append(slice(at, at := at + len(value.encode())))
    if at != _TABLE + _length(header, 2)[0]:
        return  # a name came twice, or what the broker adds was taken out
    if decoded.message_id is not None:
        at += (header[0] << 8 & _OCTETS).bit_count() + 1
        spans.append(slice(at, len(header)))
        if header[at - 1] != len(header) - at:
            return
    # One span alone would not come as a tuple.
    if len(spans) > 1:
        _layouts[len(header)] = _Layout(header, spans, list(decoded.headers))


def _quickly(header: bytes) -> Properties:
    """Decode headers of strings, delivery mode, priority and message id, and nothing else."""
    flags = header[0] << 8 | header[1]
    if flags & ~_USUAL:
        raise _Unusual
    at = 2
    headers: dict[str, Any] = {}
    if flags & _HEADERS:
        at = _TABLE + _length(header, 2)[0]
        _read_table(header, _TABLE, at, headers)
    at += (flags & _OCTETS).bit_count()
    message_id = None
    if flags & _MESSAGE_ID:
        message_id = header[at + 1 : at + 1 + header[at]].decode()
    return Properties(own_id(message_id, headers), headers, None, _taken_count(headers))


def _read_table(data: bytes, at: int, end: int, into: dict[str, Any]) -> None:
    # In ASCII an octet is a character, which spares decoding each value by itself.
    text = data[:end].decode() if data[:end].isascii() else None
    while at < end:
        kind_at = at + 1 + data[at]
        name = data[at + 1 : kind_at]
        at = kind_at + 5
        if data[kind_at] == _LONG_STRING:
            value_end = at + _length(data, kind_at + 1)[0]
            value: Any = text[at:value_end] if text else data[at:value_end].decode()
            at = value_end
        elif data[kind_at] == _LONG_LONG_INT:
            at = kind_at + 9
            value = int.from_bytes(data[kind_at + 1 : at], signed=True)
        else:
            raise _Unusual
        into[_names.get(name) or _name(name)] = value
    if at != end:
        raise _Unusual


def _name(octets: bytes) -> str:
    """Decode the name of a header, and remember it: there are few of them."""
    name = octets.decode()
    if len(_names) < _MOST_SHORT:
        _names[octets] = name
    return name


def _thoroughly(header: bytes) -> Properties:
    if len(header) > _LONGEST_UNUSUAL:
        return Properties(None, {UNREADABLE: f"{len(header):,} bytes of headers that are no texts"})
    content = ContentHeader()
    try:
        content.unmarshal(_FRAME_START + header)
    except (ValueError, LookupError, struct.error, OverflowError, OSError, RecursionError) as error:
        return Properties(None, {UNREADABLE: f"{type(error).__name__}: {error}"})
    properties = content.properties
    headers: dict[str, Any] = properties.headers or {}
    return Properties(
        message_id=own_id(properties.message_id, headers),
        headers=headers,
        timestamp=properties.timestamp.timestamp() if properties.timestamp else None,
        delivery_count=_taken_count(headers),
    )


def own_id(message_id: str | None, headers: Mapping[str, Any]) -> str | None:
    """Return a message id, unless it was only given when the message was dead."""
    return None if NO_MESSAGE_ID in headers else message_id


def _taken_count(headers: dict[str, Any]) -> int | None:
    """Take what differs from one delivery to the next out of the headers, and return the count.

    A message that comes again must look the same, as it may be parked. A publisher may have
    written a count that is none.
    """
    counted = headers.pop(DELIVERY_COUNT, None)
    acquired = headers.pop(ACQUIRED_COUNT, None)
    headers.pop(SENT_TIME, None)
    if acquired is not None:
        counted = acquired
    return counted if isinstance(counted, int) else None
