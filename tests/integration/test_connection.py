from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection

from bench.stack import Stack
from service.broker import topology
from service.broker.dead_letters import DeadLetters
from service.broker.deliveries import Deliveries
from service.broker.errors import OUTAGES
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
