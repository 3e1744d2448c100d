"""What a dead letter carries besides its message: how it is written, read and taken off again."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aio_pika import DeliveryMode
from aio_pika import Message as AmqpMessage
from pamqp import encode

from service.broker.properties import ACQUIRED_COUNT, DELIVERY_COUNT, SENT_TIME
from service.events.message import NO_MESSAGE_ID, ROUTING_KEY, UNREADABLE, Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.broker.topology import Source

PREFIX: Final = "x-billing-"
STREAM: Final = "x-billing-stream"
REASON: Final = "x-billing-reason"
TIME: Final = "x-billing-dead-at"
# Where the message was published first; this, ROUTING_KEY and NO_MESSAGE_ID survive a replay.
EXCHANGE: Final = "x-billing-exchange"
# Names of its own headers, where these cannot be published again as they were.
HEADERS: Final = "x-billing-headers"

# Set by RabbitMQ on what it dead-letters itself, and at a delivery.
_DEATHS: Final = "x-death"
_BROKER_MARKS: Final = (
    "x-death",
    "x-first-death-",
    "x-last-death-",
    DELIVERY_COUNT,
    ACQUIRED_COUNT,
    SENT_TIME,
)

# Well below the smallest frame that a header must fit into.
MAX_HEADER_BYTES: Final = 32_768


class Death(NamedTuple):
    """What a dead letter says of itself.

    Attributes:
        reason: why it is dead.
        at: since when, with its zone; None where nothing readable says so.
        exchange: where the message was published first.
        routing_key: likewise.
    """

    reason: str
    at: datetime | None
    exchange: str
    routing_key: str


class HeadersLost(Exception):
    """A message cannot be published again with the headers that it has."""


def mark(stream: str, source: Source, message: Message, reason: str) -> AmqpMessage:
    """Return a message as it is put into the dead queue."""
    exchange, routing_key = _origin(source, message)
    return AmqpMessage(
        body=message.body,
        message_id=message.message_id,
        delivery_mode=DeliveryMode.PERSISTENT,
        headers={
            **_writable(message.headers),
            STREAM: stream,
            REASON: reason,
            TIME: datetime.now(UTC).isoformat(timespec="milliseconds"),
            EXCHANGE: exchange,
            ROUTING_KEY: routing_key,
            **_without_id(message),
        },
    )


def read(source: Source, message: Message) -> Death:
    """Return what is known of a message in the dead queue, whoever has put it there."""
    headers = message.headers
    if REASON in headers:
        at = _time(headers.get(TIME))
        return Death(_text(headers[REASON]), at, *_carried(message))
    if set(headers) == {UNREADABLE}:
        return Death("unknown: its headers cannot be read", None, "", message.routing_key)
    deaths = headers.get(_DEATHS)
    last = deaths[0] if isinstance(deaths, list) and deaths else None
    if not isinstance(last, dict):
        return Death("unknown", None, *_carried(message))
    keys = last.get("routing-keys")
    key = _text(keys[0]) if isinstance(keys, list) and keys else ""
    published = Message(_text(last.get("exchange", "")), key, message.message_id, headers, b"")
    reason = f"pushed out by the broker: {_text(last.get('reason', 'unknown'))}"
    return Death(reason, _time(last.get("time")), *_origin(source, published))


def unmark(message: Message, death: Death) -> AmqpMessage:
    """Return a dead letter's message as it is replayed.

    Nothing marks it but its origin and, where it had no id, that.

    Raises:
        HeadersLost: its own headers cannot be read or not be written again. Those that were lost
            when it was dead-lettered are not counted.
    """
    headers = _writable(message.headers)
    if set(message.headers) == {UNREADABLE} or (HEADERS in headers) > (HEADERS in message.headers):
        raise HeadersLost
    own = {n: v for n, v in headers.items() if not n.startswith((PREFIX, *_BROKER_MARKS))}
    return AmqpMessage(
        body=message.body,
        message_id=message.message_id,
        delivery_mode=DeliveryMode.PERSISTENT,
        headers={
            **own,
            EXCHANGE: death.exchange,
            ROUTING_KEY: death.routing_key,
            **_without_id(message),
        },
    )


def _origin(source: Source, message: Message) -> tuple[str, str]:
    """Return where a message was published first, which is elsewhere if it has been replayed."""
    is_replay = message.exchange == "" and message.routing_key == source.queue
    return _carried(message) if is_replay else (message.exchange, message.routing_key)


def _without_id(message: Message) -> dict[str, str]:
    """Return the mark of a message that has no id."""
    return {} if message.message_id else {NO_MESSAGE_ID: "true"}


def _carried(message: Message) -> tuple[str, str]:
    return (
        _text(message.headers.get(EXCHANGE, message.exchange)),
        _text(message.headers.get(ROUTING_KEY, message.routing_key)),
    )


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes | bytearray) else str(value)


def _time(value: object) -> datetime | None:
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _writable(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message's own headers as they can be published again, or as text where not.

    The client library reads more than it can write, and RabbitMQ takes CC and BCC for further
    routing keys, which must not send a dead letter anywhere else.
    """
    safe = {
        f"{PREFIX}{name}" if name in {"CC", "BCC"} else name: _encodable(value)
        for name, value in headers.items()
    }
    try:
        if len(encode.field_table(safe)) <= MAX_HEADER_BYTES:
            return safe
    except (TypeError, ValueError, OverflowError, RecursionError, struct.error):
        pass
    return {HEADERS: str(list(headers))[:MAX_HEADER_BYTES]}


def _encodable(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytearray(value)
    if isinstance(value, float):
        return repr(value)  # it would be written with half its digits
    if isinstance(value, dict):
        return {name: _encodable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_encodable(inner) for inner in value]
    return value
