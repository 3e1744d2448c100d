"""The hot path in: one consumer on one channel, from AMQP frames to batches.

An object of this module is one generation: it ends with its channel. Delivery tags have a meaning
on their own channel only, so nothing of a lost generation can be acknowledged on the next one;
the broker delivers it again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from aiormq.exceptions import AMQPError, ChannelInvalidStateError

from service.batcher import Batch, Batcher
from service.broker.errors import SessionLost
from service.events.message import Message

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection
    from aiormq.abc import AbstractChannel, DeliveredMessage

    from service.settings import Stream

# Set by quorum queues on a message that is delivered again.
DELIVERY_COUNT = "x-delivery-count"
# Set by RabbitMQ's message timestamp interceptor, and by anyone who wants to be measured.
TIMESTAMP_MS = "timestamp_in_ms"


class Delivery(NamedTuple):
    """One message as this channel delivered it.

    Attributes:
        tag: its delivery tag, to acknowledge it by on the same channel.
        redelivered: the broker has delivered it before, to anyone.
        times_before: how often before, where the queue counts (quorum queues do).
    """

    tag: int
    redelivered: bool
    times_before: int
    message: Message


class Deliveries:
    """A consumer of one queue; build it with :meth:`open`."""

    def __init__(self, channel: AbstractChannel, queue: str, settings: Stream) -> None:
        self._channel = channel
        self._queue = queue
        self._settings = settings
        self._consumer_tag: str | None = None
        self._batches: Batcher[Delivery] = Batcher(settings.batch_size, settings.flush_ms / 1000)
        self._unsettled = 0

    @classmethod
    async def open(cls, connection: AbstractConnection, queue: str, settings: Stream) -> Deliveries:
        """Open a channel and start consuming on it."""
        transport = connection.transport
        if transport is None:
            raise SessionLost(f"{queue}: connection closed")
        channel = await transport.connection.channel(publisher_confirms=False)
        deliveries = cls(channel, queue, settings)
        await deliveries._consume()
        return deliveries

    async def _consume(self) -> None:
        self._channel.closing.add_done_callback(self._on_channel_closed)
        self._channel.on_consumer_cancel_callbacks.add(self._on_consumer_cancelled)
        await self._channel.basic_qos(prefetch_count=self._settings.prefetch)
        ok = await self._channel.basic_consume(self._queue, self._on_message)
        self._consumer_tag = ok.consumer_tag

    @property
    def unacknowledged(self) -> int:
        """Messages that the broker counts on this consumer."""
        return self._unsettled + len(self._batches)

    async def next_batch(self) -> Batch[Delivery] | None:
        """Return the next batch, or None after a drain.

        Raises:
            SessionLost: the channel is gone, and with it all that was not acknowledged.
        """
        batch = await self._batches.next()
        self._unsettled = len(batch.items) if batch else 0
        return batch

    async def ack_through(self, tag: int) -> None:
        """Acknowledge everything up to ``tag``: call it after the commit, never before."""
        try:
            await self._channel.basic_ack(tag, multiple=True)
        except (AMQPError, ChannelInvalidStateError) as error:
            raise SessionLost(f"{self._queue}: {error}") from error
        self._unsettled = 0

    async def requeue(self, tag: int) -> None:
        """Give one message back to the broker, to be tried again."""
        await self._channel.basic_nack(tag, requeue=True)

    async def drain_when(self, stop: asyncio.Event) -> None:
        """On ``stop``, take no more from the broker and let what is here be written.

        Everything that the broker had sent before it confirmed the end is in the batches by
        then, because frames are handled in order.
        """
        await stop.wait()
        if self._consumer_tag is not None:
            with suppress(AMQPError, ChannelInvalidStateError):  # lost: next_batch says so
                await self._channel.basic_cancel(self._consumer_tag)
        self._batches.drain()

    async def _on_message(self, delivered: DeliveredMessage) -> None:
        frame: Any = delivered.delivery
        properties = delivered.header.properties
        headers: dict[str, Any] = properties.headers or {}
        self._batches.add(
            Delivery(
                tag=frame.delivery_tag,
                redelivered=frame.redelivered,
                times_before=headers.pop(DELIVERY_COUNT, 0),
                message=Message(
                    exchange=frame.exchange,
                    routing_key=frame.routing_key,
                    message_id=properties.message_id,
                    headers=headers,
                    body=delivered.body,
                    published_at=_published_at(headers.get(TIMESTAMP_MS), properties.timestamp),
                ),
            )
        )

    def _on_channel_closed(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        self._batches.fail(SessionLost(f"{self._queue}: channel closed: {error}"))

    def _on_consumer_cancelled(self, _frame: object) -> None:
        self._batches.fail(
            SessionLost(f"{self._queue}: the broker cancelled the consumer (queue deleted?)")
        )


def _published_at(timestamp_ms: object, timestamp: Any) -> float | None:
    if isinstance(timestamp_ms, int):
        return timestamp_ms / 1000
    return timestamp.timestamp() if timestamp is not None else None
