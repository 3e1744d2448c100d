"""A message as it was delivered, apart from any channel: what is decoded, parked and replayed."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import msgspec
import orjson


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


def to_json(message: Message) -> str:
    """Write a message as JSON; byte strings become text where they are, else base64."""
    return orjson.dumps(
        {
            "exchange": message.exchange,
            "routing_key": message.routing_key,
            "message_id": message.message_id,
            "headers": message.headers,
            "body": message.body,
            "published_at": message.published_at,
        },
        default=_json_value,
    ).decode()


def from_json(text: str) -> Message:
    """Read back what :func:`to_json` wrote."""
    fields = orjson.loads(text)
    body = _python_value(fields["body"])
    fields["body"] = body.encode() if isinstance(body, str) else body
    fields["headers"] = _python_value(fields["headers"])
    return Message(**fields)


def _json_value(value: object) -> object:
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"$base64": b64encode(value).decode()}
    return str(value)


def _python_value(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"$base64"}:
            return b64decode(value["$base64"])
        return {key: _python_value(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_python_value(inner) for inner in value]
    return value
