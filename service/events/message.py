"""A message as it was delivered, apart from any channel: what is decoded, parked and replayed."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Final, Protocol

import msgspec
import orjson

# The only header of a message whose own ones cannot be read; it says why.
UNREADABLE: Final = "x-billing-unreadable-headers"
# Of tables and lists in each other; Jasmin nests none, and JSON is not written that deep.
_DEEPEST: Final = 32
# Carries the routing key of a message that has been dead, which is replayed without it.
ROUTING_KEY: Final = "x-billing-routing-key"
# Says of a message that has been dead that the id which it has now is none of its own: the client
# library publishes nothing without one.
NO_MESSAGE_ID: Final = "x-billing-no-message-id"


class Message(msgspec.Struct, frozen=True):
    """One AMQP message.

    Attributes:
        exchange: where it was published to.
        routing_key: as published, for example ``dlr.deliver_sm``.
        message_id: the AMQP property; Jasmin's carrier of the message id (or the operator's).
        headers: the AMQP header table; Jasmin's carrier of all details.
        body: as on the wire.
        published_at: POSIX time in seconds, where a header or property allows.
    """

    exchange: str
    routing_key: str
    message_id: str | None
    headers: dict[str, Any]
    body: bytes
    published_at: float | None = None


class Content(Protocol):
    """What is decoded: a message, or a delivery of one."""

    @property
    def routing_key(self) -> str:
        """As it was published last."""

    @property
    def message_id(self) -> str | None:
        """The AMQP property."""

    @property
    def headers(self) -> dict[str, Any]:
        """The AMQP header table."""

    @property
    def body(self) -> bytes:
        """As on the wire."""


def to_json(message: Message) -> str:
    """Write a message as JSON that can be read back: exactly, but for headers nested very deeply.

    Octets become ``{"$base64": …}`` unless they are the body and text, and a table within the
    headers becomes ``{"$table": …}``, so that nothing from the wire can be taken for a mark.
    What is nested very deeply within a header is kept as a text of it.
    """
    return orjson.dumps(
        {
            "exchange": message.exchange,
            "routing_key": message.routing_key,
            "message_id": message.message_id,
            "headers": {name: _marked(value) for name, value in message.headers.items()},
            "body": _text_or_octets(message.body),
            "published_at": message.published_at,
        },
        default=str,
    ).decode()


def from_json(text: str) -> Message:
    """Read back what :func:`to_json` wrote."""
    fields = orjson.loads(text)
    body = _unmarked(fields["body"])
    fields["body"] = body.encode() if isinstance(body, str) else body
    fields["headers"] = {name: _unmarked(value) for name, value in fields["headers"].items()}
    return Message(**fields)


def _text_or_octets(body: bytes) -> object:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return _marked(body)


def _marked(value: Any, depth: int = _DEEPEST) -> Any:
    if isinstance(value, bytes | bytearray):
        return {"$base64": b64encode(value).decode()}
    if isinstance(value, dict | list) and not depth:
        return str(value)
    if isinstance(value, dict):
        return {"$table": {name: _marked(inner, depth - 1) for name, inner in value.items()}}
    if isinstance(value, list):
        return [_marked(inner, depth - 1) for inner in value]
    return value


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        ((mark, inner),) = value.items()
        if mark == "$base64":
            return b64decode(inner)
        return {name: _unmarked(item) for name, item in inner.items()}
    if isinstance(value, list):
        return [_unmarked(inner) for inner in value]
    return value
