from __future__ import annotations

import asyncio

import pytest

from service.broker.connection import connect
from service.broker.errors import OUTAGES
from service.settings import Jasmin


@pytest.mark.parametrize("greeted", [False, True])
async def test_a_connection_that_ends_in_the_handshake_is_an_outage(greeted: bool) -> None:
    """What a load balancer does whose broker is away."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if greeted:
            await reader.read(8)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OUTAGES):
            async with connect(Jasmin(amqp_host="127.0.0.1", amqp_port=port), "test"):
                pass
