"""One SMPP 3.4 connection, seen from either end."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final, Self

from smpplib import consts, smpp
from smpplib.client import SimpleSequenceGenerator
from smpplib.command import Command
from smpplib.exceptions import UnknownCommandError

_LENGTH: Final = struct.Struct(">I")
_HEADER_OCTETS: Final = 16
_LARGEST_PDU: Final = 65_536


class SessionLost(Exception):
    """The connection ended before a request was answered."""


class Session:
    """Sends requests and answers; hands out the requests of the other end.

    Somebody must be in :meth:`requests` for answers to be noticed.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sequence = SimpleSequenceGenerator()
        self._unanswered: dict[int, asyncio.Future[Command]] = {}
        self.is_lost = False

    @classmethod
    async def connect(cls, host: str, port: int) -> Self:
        """Open a connection. Raises OSError."""
        return cls(*await asyncio.open_connection(host, port))

    async def requests(self) -> AsyncIterator[Command]:
        """Yield requests until the other end hangs up or talks nonsense."""
        try:
            with suppress(asyncio.IncompleteReadError, OSError, struct.error, ValueError):
                while True:
                    pdu = await self._read()
                    if pdu.is_response():
                        self._settle(pdu)
                    else:
                        yield pdu
        finally:
            self._lose()

    def answer(self, request: Command, status: str = "ESME_ROK", **fields: Any) -> None:
        """Answer a request; ``fields`` are those of the answer's PDU."""
        response = self._make(f"{request.command}_resp", status=status_code(status), **fields)
        response.sequence = request.sequence
        self._write(response)

    def post(self, command: str, **fields: Any) -> asyncio.Future[Command]:
        """Send a request; its answer comes in the future. SessionLost is raised there."""
        request = self._make(command, **fields)
        answer: asyncio.Future[Command] = asyncio.get_running_loop().create_future()
        if self.is_lost:
            answer.set_exception(SessionLost())
            return answer
        self._unanswered[request.sequence] = answer
        self._write(request)
        return answer

    async def close(self) -> None:
        """Hang up."""
        self._lose()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> Command:
        """Read one PDU. Raises ValueError when it is none."""
        start = await self._reader.readexactly(_LENGTH.size)
        (length,) = _LENGTH.unpack(start)
        if not _HEADER_OCTETS <= length <= _LARGEST_PDU:
            raise ValueError(f"a PDU of {length} octets")
        octets = start + await self._reader.readexactly(length - _LENGTH.size)
        try:
            return smpp.parse_pdu(octets, client=self._sequence, allow_unknown_opt_params=True)
        except (UnknownCommandError, KeyError) as error:
            raise ValueError(f"no PDU that we know: {error}") from None

    def _make(self, command: str, **fields: Any) -> Command:
        return smpp.make_pdu(command, client=self._sequence, **fields)

    def _write(self, pdu: Command) -> None:
        if not self.is_lost:
            self._writer.write(pdu.generate())

    def _settle(self, response: Command) -> None:
        answer = self._unanswered.pop(response.sequence, None)
        if answer is not None and not answer.done():
            answer.set_result(response)

    def _lose(self) -> None:
        self.is_lost = True
        self._writer.close()
        for answer in self._unanswered.values():
            if not answer.done():
                answer.set_exception(SessionLost())
                answer.exception()  # it may be that nobody waits for it any more
        self._unanswered.clear()


def status_code(status: str) -> int:
    """Return the number of a command status such as ``ESME_RTHROTTLED``."""
    return int(getattr(consts, f"SMPP_{status}"))


def status_name(code: int) -> str:
    """Return the name of a command status; unknown ones are written as numbers."""
    return _NAMES.get(code, f"0x{code:08X}")


_NAMES: Final[dict[int, str]] = {
    code: name.removeprefix("SMPP_")
    for name, code in vars(consts).items()
    if name.startswith("SMPP_ESME_")
}
