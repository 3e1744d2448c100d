"""Shows the status of a running service in a terminal, once or until a key is pressed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec
from rich.live import Live

from service.status import view
from service.status.document import Status

if TYPE_CHECKING:
    from rich.console import Console

PATIENCE_SECONDS: Final = 5.0


class NoAnswer(Exception):
    """There is no status; the text says why, and what to do."""


async def fetch(url: str) -> bytes:
    """Ask once for the status of the service at ``url``, and return it as it came.

    Raises:
        NoAnswer: nothing listens there, or it is something else.
    """
    async with _session() as http:
        return await _fetch(http, url)


def read(document: bytes) -> Status:
    """Read a status.

    Raises:
        NoAnswer: it is none, or one of another version.
    """
    try:
        return msgspec.json.decode(document, type=Status)
    except msgspec.DecodeError as error:
        raise NoAnswer(f"its answer cannot be read ({error}); is it of another version?") from None


async def watch(url: str, interval: float, console: Console) -> None:
    """Show the status every ``interval`` seconds until q or Ctrl-C; a service may come and go.

    Raises:
        NoAnswer: there has been none yet.
    """
    async with _session() as http:
        first = read(await _fetch(http, url))
        watching = asyncio.create_task(_show(http, url, interval, console, first))

        def stop() -> None:
            watching.cancel()

        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, stop)
        with _keys(lambda key: stop() if key in "qQ" else None), suppress(asyncio.CancelledError):
            await watching


async def _show(
    http: aiohttp.ClientSession, url: str, interval: float, console: Console, last: Status
) -> None:
    with Live(view.render(last), console=console, screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(interval)
            try:
                last = read(await _fetch(http, url))
                live.update(view.render(last), refresh=True)
            except NoAnswer as error:
                live.update(view.lost(last, str(error)), refresh=True)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS))


async def _fetch(http: aiohttp.ClientSession, url: str) -> bytes:
    try:
        async with http.get(f"{url.rstrip('/')}/status.json") as response:
            if response.status != 200:
                raise NoAnswer(f"{url} answers {response.status} to /status.json; set --url")
            return await response.read()
    except aiohttp.InvalidURL:
        raise NoAnswer(f"{url} is no URL such as http://127.0.0.1:9108; set --url") from None
    except (aiohttp.ClientError, TimeoutError):
        raise NoAnswer(
            f"nothing answers at {url}; is the service running? Set --url to where it serves "
            "metrics (http.host and http.port, BILLING_HTTP_PORT)"
        ) from None


@contextmanager
def _keys(pressed: Callable[[str], None]) -> Iterator[None]:
    """Tell of each key at once while in it, where there is a keyboard."""
    if not sys.stdin.isatty():
        yield
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    loop = asyncio.get_running_loop()
    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, lambda: pressed(os.read(keyboard, 1).decode(errors="replace")))
    try:
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
