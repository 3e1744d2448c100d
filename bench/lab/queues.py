"""The service's queues on the broker that is measured with, and what is to be known of both."""

from collections.abc import Mapping
from typing import Any, Final

import aio_pika
import aiormq
from aiormq.exceptions import ChannelNotFoundEntity

from service.broker import topology
from service.broker.topology import Source
from service.settings import Stream

SOURCES: Final = (topology.DLR, topology.BILL)
_QUEUES: Final = tuple(name for source in SOURCES for name in (source.queue, source.dead_queue))
_EXCHANGES: Final = tuple(source.exchange for source in SOURCES)


async def declare(url: str, queues: Mapping[Source, Stream]) -> None:
    """Declare them, empty, with the arguments that the service gives them."""
    await remove(url)
    async with await aio_pika.connect(url) as connection:
        for source, settings in queues.items():
            await topology.declare_dead_queue(connection, source, settings.queue_type)
            async with connection.channel() as channel:
                arguments = topology.queue_arguments(source, settings)
                await channel.declare_queue(source.queue, durable=True, arguments=arguments)


async def lengths(url: str) -> dict[str, int]:
    """Return how many messages wait in each, the dead ones included."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        queues = [await channel.declare_queue(name, passive=True) for name in _QUEUES]
        return {queue.name: queue.declaration_result.message_count or 0 for queue in queues}


async def consumers(url: str, source: Source) -> int:
    """Return how many consumers a queue has."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        queue = await channel.declare_queue(source.queue, passive=True)
        return queue.declaration_result.consumer_count or 0


async def remove(url: str, *, exchanges: bool = False) -> None:
    """Delete them with all that is in them, and on request the exchanges that they are bound to."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        for name in _QUEUES:
            await channel.queue_delete(name)
        for name in _EXCHANGES if exchanges else ():
            await channel.exchange_delete(name)


async def existing(url: str) -> list[str]:
    """Return which of Jasmin's exchanges and of the service's queues there are."""
    found = []
    async with await aio_pika.connect(url) as connection:
        for kind, names in (("exchange", _EXCHANGES), ("queue", _QUEUES)):
            for name in names:
                if await _exists(connection, kind, name):
                    found.append(f"{kind} {name}")
    return found


async def server(url: str) -> str:
    """Return the broker's name and version."""
    connection = await aiormq.connect(url)
    try:
        properties: dict[str, Any] = connection.server_properties
    finally:
        await connection.close()
    return f"{properties.get('product')} {properties.get('version')}"


async def _exists(connection: aio_pika.abc.AbstractConnection, kind: str, name: str) -> bool:
    channel = await connection.channel()
    try:
        if kind == "exchange":
            await channel.get_exchange(name)
        else:
            await channel.get_queue(name)
    except ChannelNotFoundEntity:  # which closes the channel
        return False
    await channel.close()
    return True
