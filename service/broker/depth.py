"""How much waits in a queue, and how many consume it: what a passive declaration tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiormq.exceptions import ChannelNotFoundEntity

from service.broker.connection import channel_of

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection
    from aiormq.abc import AbstractChannel


class Missing(Exception):
    """There is no such exchange or queue."""


class Depth(NamedTuple):
    """A queue: how many messages wait in it, and how many consumers it has."""

    waiting: int
    consumers: int


async def depth(connection: AbstractConnection, queue: str) -> Depth:
    """Look at a queue, on a channel of its own, which a refusal closes.

    Raises:
        Missing: there is none.
        ChannelAccessRefused: the user has no privilege at all on it (RabbitMQ 4.3 and later).
        ChannelLockedResource: it belongs to another connection alone.
    """
    try:
        async with channel_of(connection) as channel:
            return await depth_on(channel, queue)
    except ChannelNotFoundEntity as error:
        raise Missing(queue) from error


async def depth_on(channel: AbstractChannel, queue: str) -> Depth:
    """Look at a queue that is there, on a channel that is open."""
    found = await channel.queue_declare(queue, passive=True)
    return Depth(found.message_count or 0, found.consumer_count or 0)
