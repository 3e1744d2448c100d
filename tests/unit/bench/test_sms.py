from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bench.sms import Refused, send


@pytest.fixture
async def jasmin() -> AsyncIterator[Callable[..., Any]]:
    """A function that starts what answers as Jasmin's HTTP API, and keeps what it was sent."""
    servers = []

    async def start(status: int, said: str) -> tuple[str, list[dict[str, list[str]]]]:
        taken = []

        async def answer(request: web.Request) -> web.Response:
            taken.append(parse_qs(await request.text()))
            return web.Response(status=status, text=said)

        app = web.Application()
        app.router.add_post("/send", answer)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("/send")), taken

    yield start
    for server in servers:
        await server.close()


async def test_an_sms_asks_for_receipts_of_jasmin_and_of_the_operator(jasmin) -> None:
    url, taken = await jasmin(200, 'Success "5af7"')
    async with aiohttp.ClientSession() as session:
        await send(session, url, "acme", "s3cret", "447700900003")
    (form,) = taken
    given = {name: form[name] for name in ("username", "password", "to", "dlr", "dlr-level")}
    assert given == {
        "username": ["acme"],
        "password": ["s3cret"],
        "to": ["447700900003"],
        "dlr": ["yes"],
        "dlr-level": ["3"],
    }


async def test_what_jasmin_says_is_passed_on(jasmin) -> None:
    url, _ = await jasmin(403, 'Error "Authentication failure for username:acme"')
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Refused, match=r"user acme: .*Authentication failure"):
            await send(session, url, "acme", "wrong", "447700900003")
