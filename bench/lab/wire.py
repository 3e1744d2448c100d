"""Publishing as fast as Python can: messages marshalled straight to bytes, confirms counted.

It blocks, so that it can be used from a thread, or with gevent.
"""

import socket
import ssl
from contextlib import suppress
from functools import cache
from struct import pack
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import pamqp.exceptions
import pamqp.frame
from pamqp import commands
from pamqp.header import ProtocolHeader

from bench.formats import Publication

_SECONDS: Final = 30.0
_CHANNEL: Final = 1
_FRAME_MAX: Final = 131_072
_TRANSIENT: Final = 1  # as Jasmin's
_READ_BYTES: Final = 1 << 16

# AMQP 0-9-1, sections 2.3.3 and 4.2.6: frame types, the class of Basic, which properties follow.
_HEADER, _BODY, _END, _BASIC = 2, 3, b"\xce", 60
_HAS_HEADERS, _HAS_DELIVERY_MODE, _HAS_PRIORITY, _HAS_MESSAGE_ID = 1 << 13, 1 << 12, 1 << 11, 1 << 7


class Refused(Exception):
    """The broker does not take what is published; the text says why."""


class Wire:
    """A connection with one channel, which publishes to one queue through the default exchange.

    Args:
        url: of the virtual host, ``amqp://`` or ``amqps://``.
        queue: where all goes.

    Attributes:
        published: how many messages have been sent.

    Raises:
        OSError: there is no connection.
        Refused: the broker closed it.
    """

    def __init__(self, url: str, queue: str) -> None:
        self.published = 0
        self._confirmed = Confirmed()
        self._buffer = b""
        self._method = marshal_method(queue)
        self._socket = _connect(url)
        try:
            self._shake_hands(url)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, Refused):
            self._send(commands.Connection.Close(200, "", 0, 0), 0)
            self._expect(commands.Connection.CloseOk)
        self._socket.close()

    @property
    def confirmed(self) -> int:
        """How many messages the broker has confirmed, as far as has been read."""
        return len(self._confirmed)

    def publish(self, messages: list[Publication]) -> None:
        """Send messages. Raises OSError or Refused."""
        method = self._method
        self._socket.sendall(b"".join([method + marshal(message) for message in messages]))
        self.published += len(messages)

    def wait(self, *, unconfirmed: int = 0) -> None:
        """Read until no more than that many messages are not confirmed. Raises OSError, Refused."""
        while self.published - self.confirmed > unconfirmed:
            self._read()

    def _shake_hands(self, url: str) -> None:
        """Open connection and channel (section 2.2.4), and ask for confirms."""
        parts = urlsplit(url)
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        self._socket.sendall(ProtocolHeader(0, 9, 1).marshal())
        self._expect(commands.Connection.Start)
        self._send(commands.Connection.StartOk({}, "PLAIN", f"\0{user}\0{password}", "en_US"), 0)
        self._expect(commands.Connection.Tune)
        self._send(commands.Connection.TuneOk(_CHANNEL, _FRAME_MAX, 0), 0)
        self._send(commands.Connection.Open(unquote(parts.path[1:]) or "/"), 0)
        self._expect(commands.Connection.OpenOk)
        self._send(commands.Channel.Open())
        self._expect(commands.Channel.OpenOk)
        self._send(commands.Confirm.Select())
        self._expect(commands.Confirm.SelectOk)

    def _send(self, method: Any, channel: int = _CHANNEL) -> None:
        self._socket.sendall(pamqp.frame.marshal(method, channel))

    def _expect(self, method: type) -> None:
        while not isinstance(frame := self._next_frame(), method):
            self._take(frame)

    def _read(self) -> None:
        """Take at least one frame, and what else has come with it."""
        self._take(self._next_frame())
        with suppress(pamqp.exceptions.UnmarshalingException):
            while self._buffer:
                self._take(self._unmarshal())

    def _next_frame(self) -> Any:
        while True:
            with suppress(pamqp.exceptions.UnmarshalingException):
                return self._unmarshal()
            received = self._socket.recv(_READ_BYTES)
            if not received:
                raise Refused("RabbitMQ closed the connection; wrong user, password or host?")
            self._buffer += received

    def _unmarshal(self) -> Any:
        size, _, frame = pamqp.frame.unmarshal(self._buffer)
        self._buffer = self._buffer[size:]
        return frame

    def _take(self, frame: Any) -> None:
        match frame:
            case commands.Basic.Ack():
                self._confirmed.add(frame.delivery_tag or 0, multiple=frame.multiple)
            case commands.Basic.Nack() | commands.Basic.Return():
                raise Refused(f"RabbitMQ does not take a message: {frame.name}")
            case commands.Connection.Close() | commands.Channel.Close():
                raise Refused(f"RabbitMQ refuses: {frame.reply_code} {frame.reply_text}")


class Confirmed:
    """Delivery tags from 1 that have been confirmed, in whatever order."""

    def __init__(self) -> None:
        self._through = 0
        self._beyond: set[int] = set()

    def __len__(self) -> int:
        return self._through + len(self._beyond)

    def add(self, tag: int, *, multiple: bool) -> None:
        """Add one, or with ``multiple`` all up to it."""
        if multiple:
            self._through = max(self._through, tag)
            self._beyond = {other for other in self._beyond if other > self._through}
        elif tag > self._through:
            self._beyond.add(tag)
        while self._through + 1 in self._beyond:
            self._through += 1
            self._beyond.remove(self._through)


def marshal_method(queue: str) -> bytes:
    """Return the frame of a Basic.Publish through the default exchange; lost ones come back."""
    return pamqp.frame.marshal(
        commands.Basic.Publish(exchange="", routing_key=queue, mandatory=True), _CHANNEL
    )


def marshal(message: Publication) -> bytes:
    """Return the frames of a message's header and body; its headers are text.

    As pamqp would, but ten times as fast, and with the headers in the order that they have.
    """
    body, message_id, headers = message.body, message.message_id, message.headers
    flags, table, tail = _HAS_DELIVERY_MODE | _HAS_PRIORITY, b"", b""
    if headers:
        flags |= _HAS_HEADERS
        pairs = b"".join([_key(name) + _long_text(value) for name, value in headers.items()])
        table = pack(">I", len(pairs)) + pairs
    if message_id is not None:
        flags |= _HAS_MESSAGE_ID
        tail = _short_text(message_id)
    properties = table + bytes((_TRANSIENT, 0)) + tail  # priority 0
    header = pack(">HHQH", _BASIC, 0, len(body), flags) + properties
    return b"".join(
        (
            pack(">BHI", _HEADER, _CHANNEL, len(header)),
            header,
            pack(">cBHI", _END, _BODY, _CHANNEL, len(body)),
            body,
            _END,
        )
    )


@cache
def _key(name: str) -> bytes:
    return _short_text(name) + b"S"


def _short_text(text: str) -> bytes:
    octets = text.encode()
    return bytes((len(octets),)) + octets


def _long_text(text: str) -> bytes:
    octets = text.encode()
    return pack(">I", len(octets)) + octets


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    is_secure = parts.scheme == "amqps"
    host, port = parts.hostname or "localhost", parts.port or (5671 if is_secure else 5672)
    plain = socket.create_connection((host, port), _SECONDS)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not is_secure:
        return plain
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
