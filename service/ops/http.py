"""The status page, /metrics, /healthz and /readyz, served by the supervisor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

import msgspec
import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from service.addresses import Address
from service.exits import CannotStart
from service.ops import collection
from service.reasons import reason
from service.status import page

if TYPE_CHECKING:
    from service.settings import Http
    from service.status.document import Status

# The page needs what it brings along and nothing else, and is nobody's frame.
PAGE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class HttpServer:
    """Answers from the supervisor's own event loop: while that hangs, so do the answers.

    Args:
        settings: where to listen.
        ready: gives, for each worker, whether it is.
        circuits: gives, for each worker, how its circuit to PostgreSQL is.
        status: gives what the status page shows.
    """

    def __init__(
        self,
        settings: Http,
        ready: Callable[[], dict[str, bool]],
        circuits: Callable[[], dict[str, str]],
        status: Callable[[], Status],
    ) -> None:
        self._settings = settings
        self._ready = ready
        self._circuits = circuits
        self._status = status
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/status.json", self._status_json)
        for path in page.FILES:
            app.router.add_get(path, self._page)
        self._runner = web.AppRunner(app, access_log=None)
        self.url = ""

    async def __aenter__(self) -> Self:
        """Start listening.

        Raises:
            CannotStart: the address is taken or not ours.
        """
        await self._runner.setup()
        host, port = self._settings.host, self._settings.port
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise CannotStart(
                f"cannot listen on {Address(host, port)}: {reason(error)}; set http.host or "
                "http.port (BILLING_HTTP_HOST, BILLING_HTTP_PORT)"
            ) from error
        host, port, *_ = self._runner.addresses[0]
        self.url = f"http://{Address(host, port)}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=collection.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _page(self, request: web.Request) -> web.Response:
        file = page.FILES[request.path]
        return web.Response(
            body=file.body, content_type=file.content_type, charset="utf-8", headers=PAGE_HEADERS
        )

    async def _status_json(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=msgspec.json.encode(self._status()),
            content_type="application/json",
            headers=PAGE_HEADERS,
        )

    async def _readyz(self, _request: web.Request) -> web.Response:
        workers = self._ready()
        return web.Response(
            status=200 if all(workers.values()) else 503,
            body=orjson.dumps(
                {
                    "ready": all(workers.values()),
                    "workers": workers,
                    "circuits": self._circuits(),
                }
            ),
            content_type="application/json",
        )
