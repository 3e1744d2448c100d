from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
import pytest
import uvloop
from aio_pika.abc import AbstractConnection
from pamqp import commands, frame

from bench.chaos.proxy import Proxy
from bench.stack import Stack
from service.broker import topology
from service.broker.dead_letters import DeadLetters
from service.broker.deliveries import Deliveries
from service.broker.errors import OUTAGES, SessionLost
from service.broker.transport import PeelingConnection
from service.settings import Dlr

OPENERS: dict[str, Callable[[AbstractConnection], Awaitable[Any]]] = {
    "topology": lambda connection: topology.declare(connection, {topology.DLR: Dlr()}),
    "deliveries": lambda connection: Deliveries.open(connection, topology.DLR.queue, Dlr()),
    "dead letters": lambda connection: DeadLetters.open(connection, {topology.DLR: Dlr()}),
}


@pytest.mark.parametrize("opener", OPENERS)
async def test_a_channel_on_a_connection_that_has_closed_is_an_outage(
    stack: Stack, vhost: str, opener: str
) -> None:
    connection = await aio_pika.connect(stack.rabbitmq.url(vhost))
    assert connection.transport is not None
    await connection.transport.connection.close()  # as when the broker closes it
    with pytest.raises(OUTAGES):
        await OPENERS[opener](connection)


def test_frames_that_make_no_delivery_end_the_session(stack: Stack, vhost: str) -> None:
    async def story() -> None:
        async with Proxy(stack.rabbitmq.port) as proxy:
            url = stack.rabbitmq.url(vhost).replace(f":{stack.rabbitmq.port}", f":{proxy.port}")
            connection = await aio_pika.connect(url, connection_class=PeelingConnection)
            await topology.declare(connection, {topology.DLR: Dlr()})
            deliveries = await Deliveries.open(connection, topology.DLR.queue, Dlr())
            begun = commands.Basic.Deliver("ctag", 1, False, "", "key")
            proxy.inject(2 * frame.marshal(begun, deliveries._channel.number))
            with pytest.raises(SessionLost, match="cut short"):
                await asyncio.wait_for(deliveries.next_batch(), 10)
            with pytest.raises(OUTAGES):
                await topology.declare(connection, {topology.DLR: Dlr()})

    uvloop.run(story())
