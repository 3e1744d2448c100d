"""/metrics, /healthz and /readyz, served by the supervisor."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from service.exits import CannotStart
from service.ops import metrics

if TYPE_CHECKING:
    from service.settings import Http


class HttpServer:
    """Answers from the supervisor's own event loop: while that hangs, so do the answers.

    Args:
        settings: where to listen.
        ready: gives, for each worker, whether it is.
        circuits: gives, for each worker, how its circuit to PostgreSQL is.
    """

    def __init__(
        self,
        settings: Http,
        ready: Callable[[], dict[str, bool]],
        circuits: Callable[[], dict[str, str]],
    ) -> None:
        self._settings = settings
        self._ready = ready
        self._circuits = circuits
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
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
                f"cannot listen on {host}:{port}: {error.strerror}; set http.host or http.port "
                "(BILLING_HTTP_HOST, BILLING_HTTP_PORT)"
            ) from error
        address = self._runner.addresses[0]
        self.url = f"http://{address[0]}:{address[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

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
