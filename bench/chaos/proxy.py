"""A TCP proxy on 127.0.0.1 between the service and a server, for networks that break."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final, Self

_CHUNK: Final = 65_536
_SLOW_SECONDS: Final = 0.05
_CLOSING_SECONDS: Final = 2.0
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Proxy:
    """Passes bytes on both ways, until told otherwise.

    Attributes:
        port: where it listens.
        refusing: connections are reset as soon as they are made.
        slow: every piece of data is held up.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.refusing = False
        self.slow = False
        self._target = port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.resume()
        self.cut()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _CLOSING_SECONDS)

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            _reset(writer)

    def inject(self, data: bytes) -> None:
        """Put data into what clients receive."""
        for writer in self._writers:
            if writer.get_extra_info("sockname")[1] == self.port:
                writer.write(data)

    def blackhole(self) -> None:
        """Keep connections, and take new ones, but let nothing through."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let everything through again, beginning with what was held back."""
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._serving += 1
        self._idle.clear()
        try:
            if self.refusing:
                _reset(writer)
                return
            await self._flowing.wait()
            with suppress(OSError):
                await self._join(reader, writer)
        finally:
            _close(writer)
            self._writers.discard(writer)
            self._serving -= 1
            if not self._serving:
                self._idle.set()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(onward_writer)
        try:
            ways = (self._pass(reader, onward_writer), self._pass(onward_reader, writer))
            tasks = {asyncio.ensure_future(way) for way in ways}
            _, going = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in going:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            _close(onward_writer)
            self._writers.discard(onward_writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                if self.slow:
                    await asyncio.sleep(_SLOW_SECONDS)
                writer.write(data)
                await writer.drain()


def _close(writer: asyncio.StreamWriter) -> None:
    """Close in good order what may be half way through an answer."""
    with suppress(OSError, RuntimeError):
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a firewall does that has forgotten a connection."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
