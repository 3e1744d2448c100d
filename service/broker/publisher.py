"""Publishes straight to a queue of ours, and knows what the broker has confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog
from aiormq.exceptions import DeliveryError

from service.broker.errors import SessionLost, opening_channel

if TYPE_CHECKING:
    from aio_pika import Message as AmqpMessage
    from aio_pika.abc import AbstractChannel, AbstractConnection

# A confirm that takes longer is spoken of.
CONFIRM_SECONDS = 10.0

log = structlog.get_logger()


class Publisher:
    """One channel with publisher confirms; build it with :meth:`open`."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._unconfirmed: set[asyncio.Task[None]] = set()
        self._by_message_id: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    async def open(cls, connection: AbstractConnection) -> Publisher:
        """Open a channel of its own."""
        with opening_channel():
            channel = connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.initialize()
        return cls(channel)

    @property
    def is_waiting(self) -> bool:
        """Whether a confirm may still come, also for what nobody waits for any more."""
        return bool(self._unconfirmed)

    async def close(self) -> None:
        """Close the channel, once the broker has answered to all that was published on it."""
        if self._unconfirmed:
            await asyncio.wait(self._unconfirmed)
        await self._channel.close()

    async def offer(
        self, queue: str, messages: Sequence[AmqpMessage]
    ) -> list[DeliveryError | None]:
        """Publish once, through the default exchange, and wait for the broker's answer to each.

        However long that takes: under a memory or disk alarm RabbitMQ answers when it is over,
        and what is published again meanwhile would be there twice.

        Returns:
            For each message None if the broker has it; DeliveryError if it refuses it, of which
            PublishError says that there is no such queue.

        Raises:
            AMQPError, SessionLost, ...: the channel is gone, and nothing is known.
        """
        if not messages:
            return []
        tasks = [asyncio.create_task(self._publish(queue, message)) for message in messages]
        for task in tasks:
            self._unconfirmed.add(task)
            task.add_done_callback(self._on_answer)
        while (await asyncio.wait(tasks, timeout=CONFIRM_SECONDS))[1]:
            log.warning(
                "RabbitMQ does not confirm; waiting, as it may still do so (memory or disk alarm?)",
                queue=queue,
                unconfirmed=sum(not task.done() for task in tasks),
            )
        return [_answer(queue, task) for task in tasks]

    async def _publish(self, queue: str, message: AmqpMessage) -> None:
        """Publish one message.

        The library matches what the broker returns by its message id, so that one of two with
        the same id would pass for confirmed: they go one after the other.
        """
        lock = asyncio.Lock()
        if message.message_id:
            lock = self._by_message_id.setdefault(message.message_id, lock)
        async with lock:
            await self._channel.default_exchange.publish(message, queue, mandatory=True)

    def _on_answer(self, task: asyncio.Task[None]) -> None:
        self._unconfirmed.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if nobody waits for it any more


def _answer(queue: str, task: asyncio.Task[None]) -> DeliveryError | None:
    if task.cancelled():
        raise SessionLost(f"{queue}: channel closed before RabbitMQ confirmed")
    error = task.exception()
    if error is None or isinstance(error, DeliveryError):
        return error
    raise error
