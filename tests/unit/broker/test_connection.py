from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import uvloop

from service.addresses import Address, Turns
from service.broker import connection
from service.broker.connection import connect, in_turn
from service.broker.errors import OUTAGES, Unreachable
from service.settings import Jasmin

# Whether the end is seen before or after the first read is a matter of luck.
ATTEMPTS = 60


def hang_up(peer: socket.socket) -> None:
    """Close at once, also on those that ask whether TLS is spoken here."""
    peer.close()


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[Address]:
    """Listen, and do that with whoever connects."""

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):  # the end
            while True:
                answer(listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield Address("127.0.0.1", listener.getsockname()[1])


def jasmin(*addresses: Address) -> Jasmin:
    return Jasmin(amqp_host=",".join(map(str, addresses)))


def test_a_connection_that_ends_in_the_handshake_is_an_outage() -> None:
    """What a load balancer does whose broker is away."""

    async def try_to_connect(address: Address) -> None:
        for _ in range(ATTEMPTS):
            with pytest.raises(OUTAGES):
                async with connect(jasmin(address), "test"):
                    pass

    with listening(hang_up) as address:
        uvloop.run(try_to_connect(address))


def test_workers_spread_over_the_addresses() -> None:
    settings = Jasmin(amqp_host="a,b,c")
    first = Counter(next(iter(in_turn(settings))).host for _ in range(300))
    assert min(first[host] for host in "abc") > 50


def test_where_nobody_listens_the_address_is_named_once(closed_port: int) -> None:
    async def try_to_connect(address: Address) -> None:
        with pytest.raises(Unreachable) as refused:
            async with connect(jasmin(address), "test"):
                pass
        assert str(refused.value) == f"{address}: Connection refused"

    gone = Address("127.0.0.1", closed_port)
    uvloop.run(try_to_connect(gone))
    asyncio.run(try_to_connect(gone))


def test_each_address_has_its_time_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hangs up, one says nothing for as long as it may, one is not there."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.3)
    heard: list[socket.socket] = []

    async def try_to_connect(*addresses: Address) -> None:
        turns = Turns(addresses)
        with pytest.raises(OUTAGES) as refused:
            async with connect(jasmin(*addresses), "test", turns):
                pass
        said = str(refused.value).split("; ")
        assert [text.partition(": ")[0] for text in said] == list(map(str, addresses))
        assert said[1].endswith("no answer within 0.3 s")
        assert list(turns) == list(addresses)  # all have failed: the order is as it was

    with listening(hang_up) as brief, listening(heard.append) as silent:
        with listening(hang_up) as gone:
            pass
        uvloop.run(try_to_connect(brief, silent, gone))
    assert heard
