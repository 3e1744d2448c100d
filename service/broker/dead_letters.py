"""Dead letters: what can never be applied, kept with its reason for a person to look at."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from aio_pika import DeliveryMode
from aio_pika import Message as AmqpMessage
from pamqp import encode

from service.broker.errors import opening_channel
from service.broker.topology import Source
from service.events.message import Message
from service.ops import metrics

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection

# Headers that a dead letter carries besides its own.
STREAM = "x-billing-stream"
REASON = "x-billing-reason"
TIME = "x-billing-dead-at"
EXCHANGE = "x-billing-exchange"
ROUTING_KEY = "x-billing-routing-key"
# Names of its own headers, where these cannot be published again as they were.
HEADERS = "x-billing-headers"

# Well below the smallest frame that a header must fit into.
MAX_HEADER_BYTES = 32_768
CONFIRM_SECONDS = 10


class DeadLetter(NamedTuple):
    """A message, and why it can never be applied."""

    message: Message
    reason: str


class DeadLetters:
    """Publishes to the dead queues; returns only when the broker has confirmed."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    @classmethod
    async def open(cls, connection: AbstractConnection) -> DeadLetters:
        """Open a channel with publisher confirms of its own."""
        with opening_channel():
            channel = connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.initialize()
        return cls(channel)

    async def publish(self, stream: str, source: Source, letters: Sequence[DeadLetter]) -> None:
        """Publish through the default exchange, never through one of Jasmin's.

        Raises:
            AMQPError, TimeoutError: the broker did not take one of them; nothing may be
                acknowledged.
        """
        exchange = self._channel.default_exchange
        await asyncio.gather(
            *(
                exchange.publish(
                    _marked(stream, letter),
                    routing_key=source.dead_queue,
                    mandatory=True,
                    timeout=CONFIRM_SECONDS,
                )
                for letter in letters
            )
        )
        metrics.DEAD_LETTERS.labels(stream).inc(len(letters))


def _marked(stream: str, letter: DeadLetter) -> AmqpMessage:
    message = letter.message
    return AmqpMessage(
        body=message.body,
        message_id=message.message_id,
        delivery_mode=DeliveryMode.PERSISTENT,
        headers={
            **_headers(message.headers),
            STREAM: stream,
            REASON: letter.reason,
            TIME: datetime.now(UTC).isoformat(timespec="milliseconds"),
            EXCHANGE: message.exchange,
            ROUTING_KEY: message.routing_key,
        },
    )


def _headers(headers: dict[str, Any]) -> dict[str, Any]:
    """Return a message's own headers as they can be published again, or as text where not.

    The client library reads more than it can write, and RabbitMQ takes CC and BCC for further
    routing keys, which must not send a dead letter anywhere else.
    """
    safe = {
        f"x-billing-{name}" if name in {"CC", "BCC"} else name: _encodable(value)
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
