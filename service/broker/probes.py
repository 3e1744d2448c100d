"""Requests that RabbitMQ can only refuse, and whose refusal tells what there is.

AMQP has no way to ask how a queue was declared, or what a user may do. But RabbitMQ looks at the
privilege first, then compares with what exists, and only then checks what would be new. So each
request here is given something impossible: whatever there is, or vanishes meanwhile, nothing is
created, consumed or published. Each takes a channel of its own, which the refusal closes.

Source: rabbit_channel.erl and rabbit_amqqueue.erl of RabbitMQ 3.10 to 4.3.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from pamqp import commands as spec

from service.broker import topology
from service.broker.connection import channel_of
from service.broker.depth import Missing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aio_pika.abc import AbstractConnection
    from aiormq.abc import AbstractChannel

    from service.broker.topology import Source

# Values of the wrong type, in arguments that RabbitMQ compares after all that are ours.
_NO_EXCHANGE: Final[dict[str, Any]] = {"alternate-exchange": 0}
_NO_QUEUE: Final[dict[str, Any]] = {"x-queue-leader-locator": 0}
_NO_CONSUMER: Final[dict[str, Any]] = {"x-priority": "impossible"}
_NO_MESSAGE: Final = spec.Basic.Properties(expiration="impossible")
_NO_KEY: Final = "billing-service-doctor"


async def exchange_difference(connection: AbstractConnection, exchange: str) -> str | None:
    """Say how an exchange differs from what Jasmin declares, and what to do; None if in nothing.

    Raises:
        Missing: there is none.
        ChannelAccessRefused: the user may not configure it.
    """
    refusal = await _refusal(
        connection,
        lambda channel: channel.exchange_declare(
            exchange, exchange_type="topic", arguments=_NO_EXCHANGE
        ),
    )
    return _difference(refusal, exchange, _NO_EXCHANGE)


async def queue_difference(
    connection: AbstractConnection, queue: str, arguments: Mapping[str, Any]
) -> str | None:
    """Say how a queue differs from a durable one with these arguments; None if in nothing.

    Raises:
        Missing: there is none.
        ChannelAccessRefused: the user may not configure it.
    """
    refusal = await _refusal(
        connection,
        lambda channel: channel.queue_declare(
            queue, durable=True, arguments={**arguments, **_NO_QUEUE}
        ),
    )
    return _difference(refusal, queue, _NO_QUEUE)


async def try_reading(connection: AbstractConnection, queue: str) -> None:
    """Raise ChannelAccessRefused where the user may not consume from a queue, there or not."""
    with suppress(ChannelNotFoundEntity):
        await _refusal(
            connection,
            lambda channel: channel.basic_consume(queue, _ignore, arguments=_NO_CONSUMER),
        )


async def try_binding(connection: AbstractConnection, source: Source) -> None:
    """Raise ChannelAccessRefused where the user may not bind a queue as its source says.

    A binding that nobody has made is taken away: RabbitMQ asks for the same privileges, and does
    nothing.
    """
    with suppress(ChannelNotFoundEntity):
        async with channel_of(connection) as channel:
            await channel.queue_unbind(
                source.queue,
                source.exchange,
                source.binding.replace("#", _NO_KEY),
                arguments={_NO_KEY: True},
            )


async def try_publishing(connection: AbstractConnection) -> None:
    """Raise ChannelAccessRefused where the user may not put messages into queues directly."""

    async def publish(channel: AbstractChannel) -> None:
        await channel.basic_publish(b"", routing_key=_NO_KEY, properties=_NO_MESSAGE)
        await channel.basic_qos()  # the answer to this is that to the above

    await _refusal(connection, publish)


async def _refusal(
    connection: AbstractConnection, request: Callable[[AbstractChannel], Awaitable[object]]
) -> str:
    """Make a request; return with which words RabbitMQ finds it impossible."""
    try:
        async with channel_of(connection) as channel:
            await request(channel)
    except ChannelPreconditionFailed as error:
        return str(error)
    return ""


def _difference(refusal: str, name: str, impossible: Mapping[str, object]) -> str | None:
    """Read what RabbitMQ answers to a declaration that is impossible for one argument only."""
    found = topology.mismatch(refusal)
    if found is None:
        if refusal:  # it was about to create something
            raise Missing(name)
        return None  # classic queues before RabbitMQ 4 do not have that argument
    if found.argument in impossible and found.found == "none":
        return None
    return topology.explain_mismatch(refusal)


async def _ignore(_: object) -> None:
    """Take a delivery, which never comes."""
