"""One consumer on one channel: deliveries into batches, and acknowledgements back.

An object of this module is one generation: it ends with its channel. Delivery tags have a meaning
on their own channel only, so nothing of a lost generation can be acknowledged on the next one;
the broker delivers it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiormq.exceptions import AMQPError, ChannelInvalidStateError

from service.batcher import Batch, Batcher
from service.broker.depth import depth_on
from service.broker.errors import SessionLost, opening_channel

if TYPE_CHECKING:
    from aiormq.abc import AbstractChannel, DeliveredMessage

    from service.broker.delivery import Delivery
    from service.broker.reader import DeliveryReader
    from service.broker.transport import PeelingConnection
    from service.settings import Stream

# How long a drain waits for the prefetch window to fill, and what counts as quiet.
WINDOW_SECONDS = 3.0
QUIET_SECONDS = 0.1


class Deliveries:
    """A consumer of one queue; build it with :meth:`open`."""

    def __init__(
        self, reader: DeliveryReader, channel: AbstractChannel, queue: str, settings: Stream
    ) -> None:
        self._reader = reader
        self._channel = channel
        self.queue = queue
        self._settings = settings
        self._consumer_tag: str | None = None
        self._last_tag = 0
        self._last_at = 0.0
        self._acknowledged = 0
        self._received_when_watched = -1
        self._is_ending = False
        self._held_ack: int | None = None
        self._batches: Batcher[Delivery] = Batcher(settings.batch_size, settings.flush_ms / 1000)
        self._time = asyncio.get_running_loop().time

    @classmethod
    async def open(cls, connection: PeelingConnection, queue: str, settings: Stream) -> Deliveries:
        """Open a channel and start consuming on it."""
        transport = connection.transport
        if transport is None:
            raise SessionLost(f"{queue}: connection closed")
        with opening_channel():
            channel = await transport.connection.channel(publisher_confirms=False)
        deliveries = cls(connection.deliveries, channel, queue, settings)
        await deliveries._consume()
        return deliveries

    async def _consume(self) -> None:
        self._channel.closing.add_done_callback(self._on_channel_closed)
        self._channel.on_consumer_cancel_callbacks.add(self._on_consumer_cancelled)
        self._reader.tap(self._channel.number, self._take)
        await self._channel.basic_qos(prefetch_count=self._settings.prefetch)
        ok = await self._channel.basic_consume(self.queue, _untapped)
        self._consumer_tag = ok.consumer_tag

    @property
    def received(self) -> int:
        """How many messages this consumer has been sent."""
        return self._last_tag

    @property
    def acknowledged(self) -> int:
        """How many of them, the oldest, have been settled."""
        return self._acknowledged

    @property
    def unacknowledged(self) -> int:
        """Messages that the broker counts on this consumer."""
        return self._last_tag - self._acknowledged

    async def is_queue_empty(self) -> bool:
        """Ask whether no message waits in the queue; what was sent before has been received.

        Raises:
            One of ``broker.errors.OUTAGES``: the channel is gone.
        """
        found = await depth_on(self._channel, self.queue)
        # While a quorum queue has no leader, it is said to have neither messages nor consumers.
        return found.consumers > 0 and not found.waiting

    def is_starved(self, waiting: int) -> bool:
        """Whether nothing has come since the last call, although there is room and messages wait.

        Args:
            waiting: how many messages wait in the queue.
        """
        is_silent = self.received == self._received_when_watched
        self._received_when_watched = self.received
        return is_silent and waiting > 0 and not self.unacknowledged and not self._is_ending

    async def next_batch(self) -> Batch[Delivery] | None:
        """Return the next batch, or None after a drain.

        Raises:
            SessionLost: the channel is gone, and with it all that was not acknowledged.
        """
        return await self._batches.next()

    async def settle(self, batch: Batch[Delivery], requeued: Collection[int]) -> None:
        """Acknowledge a batch, once it has been committed; never before.

        Args:
            batch: the oldest that has not been settled.
            requeued: tags in it that go back to the broker to be delivered again.

        Raises:
            SessionLost: the channel is gone; all of it will be delivered again.
        """
        try:
            for tag in requeued:
                await self._channel.basic_nack(tag, requeue=True)
            # A tag that has been given back cannot be acknowledged any more.
            kept = (item.tag for item in reversed(batch.items) if item.tag not in requeued)
            if last := next(kept, None):
                await self._ack_through(last)
            if self._held_ack is None:
                self._acknowledged = batch.items[-1].tag  # given back or acknowledged
        except (AMQPError, ChannelInvalidStateError) as error:
            raise SessionLost(f"{self.queue}: {error}") from error

    async def _ack_through(self, tag: int) -> None:
        if self._held_ack is not None:
            self._held_ack = tag
        elif tag > self._acknowledged:
            self._acknowledged = tag
            await self._channel.basic_ack(tag, multiple=True)

    async def drain_when(self, stop: asyncio.Event) -> None:
        """On ``stop``, take no more from the broker and let what is here be written.

        Everything that the broker sent before it confirmed the end is in the batches by then,
        because frames are handled in order.
        """
        await stop.wait()
        self._is_ending = True
        with suppress(AMQPError, ChannelInvalidStateError):  # next_batch says so
            await self._cancel()
        self._batches.drain()

    async def _cancel(self) -> None:
        """Cancel the consumer, once the broker has nothing more under way to it.

        A quorum queue takes back what it has under way inside the broker when its consumer is
        cancelled, and delivers that again, marked as redelivered and counted as a failed
        attempt, although it never reached us. So nothing is acknowledged for a moment: with a
        backlog the prefetch window fills, and then nothing is under way; without one it is
        quiet. Only in between, under a steady flow, a message or two may be caught.
        """
        began = self._time()
        deadline = began + WINDOW_SECONDS
        self._held_ack = self._acknowledged
        while self.unacknowledged < self._settings.prefetch and self._time() < deadline:
            # What the last acknowledgement made room for may still be coming.
            quiet = self._time() - max(self._last_at, began)
            if quiet > QUIET_SECONDS and await self.is_queue_empty():
                break
            await asyncio.sleep(QUIET_SECONDS / 20)
        if self._consumer_tag is not None:
            await self._channel.basic_cancel(self._consumer_tag)
        held, self._held_ack = self._held_ack, None
        await self._ack_through(held)

    def _take(self, deliveries: list[Delivery]) -> None:
        self._batches.add(deliveries)
        self._last_tag = deliveries[-1].tag
        self._last_at = self._time()

    def _on_channel_closed(self, closing: asyncio.Future[Any]) -> None:
        self._reader.untap(self._channel.number)
        error = None if closing.cancelled() else closing.exception()
        self._batches.fail(SessionLost(f"{self.queue}: channel closed: {error}"))

    def _on_consumer_cancelled(self, _frame: object) -> None:
        self._batches.fail(
            SessionLost(f"{self.queue}: the broker cancelled the consumer (queue deleted?)")
        )


async def _untapped(delivered: DeliveredMessage) -> None:
    """Never called: the library sees no delivery of a channel that is tapped."""
    raise AssertionError(f"delivery {delivered.delivery_tag} passed by")
