"""Dead letters: what can never be applied, kept with its reason for a person to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from aio_pika import DeliveryMode
from aio_pika import Message as AmqpMessage

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
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.initialize()
        return cls(channel)

    async def publish(self, stream: str, source: Source, letters: Sequence[DeadLetter]) -> None:
        """Publish through the default exchange, never through one of Jasmin's.

        Raises:
            AMQPError: the broker did not take one of them; nothing may be acknowledged.
        """
        exchange = self._channel.default_exchange
        await asyncio.gather(
            *(
                exchange.publish(
                    _marked(stream, letter), routing_key=source.dead_queue, mandatory=True
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
            **{name: _encodable(value) for name, value in message.headers.items()},
            STREAM: stream,
            REASON: letter.reason,
            TIME: datetime.now(UTC).isoformat(timespec="milliseconds"),
            EXCHANGE: message.exchange,
            ROUTING_KEY: message.routing_key,
        },
    )


def _encodable(value: Any) -> Any:
    """Return a header as the client library can write it: it reads octets that it cannot write."""
    if isinstance(value, bytes):
        return bytearray(value)
    if isinstance(value, dict):
        return {name: _encodable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_encodable(inner) for inner in value]
    return value
