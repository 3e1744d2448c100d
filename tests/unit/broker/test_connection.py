from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest
import uvloop

from service.broker.connection import connect
from service.broker.errors import OUTAGES
from service.settings import Jasmin

# Whether the end is seen before or after the first read is a matter of luck.
ATTEMPTS = 60


def hang_up(listener: socket.socket) -> None:
    """Close every connection, also those that ask whether TLS is spoken here."""
    with suppress(OSError):  # the end
        while True:
            listener.accept()[0].close()


def test_a_connection_that_ends_in_the_handshake_is_an_outage() -> None:
    """What a load balancer does whose broker is away."""

    async def try_to_connect(port: int) -> None:
        for _ in range(ATTEMPTS):
            with pytest.raises(OUTAGES):
                async with connect(Jasmin(amqp_host="127.0.0.1", amqp_port=port), "test"):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up, args=(listener,), daemon=True).start()
        uvloop.run(try_to_connect(listener.getsockname()[1]))
