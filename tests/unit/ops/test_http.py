from __future__ import annotations

import socket

import pytest

from service.exits import CannotStart
from service.ops.http import HttpServer
from service.settings import Http


async def refused(host: str, port: int) -> str:
    server = HttpServer(Http(host=host, port=port), dict, dict, lambda: None)
    with pytest.raises(CannotStart) as raised:
        await server.__aenter__()
    return str(raised.value)


async def test_an_address_that_is_taken_is_said_once_with_what_to_set():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert await refused("127.0.0.1", port) == (
            f"cannot listen on 127.0.0.1:{port}: Address already in use; set http.host or "
            "http.port (BILLING_HTTP_HOST, BILLING_HTTP_PORT)"
        )


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("2001:db8::1", "cannot listen on [2001:db8::1]:9108: Cannot assign requested address; "),
        ("nowhere.invalid", "cannot listen on nowhere.invalid:9108: "),
    ],
)
async def test_an_address_of_somebody_else_is_refused(host, said):
    problem = await refused(host, 9108)
    assert problem.startswith(said)
    assert problem.count(":9108") == 1
    assert "Unknown error" not in problem
