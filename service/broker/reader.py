"""The hot path in: peels deliveries off the wire before the AMQP library sees them.

What a client library costs for a message are tasks, awaits and frame objects, not the network. So
a stream reader of ours gets the octets first, keeps the frames of deliveries to channels that are
tapped, and hands on everything else: handshake, methods, heartbeats and all other channels are
the library's, as is TLS, which ends before.

Frames are those of AMQP 0-9-1, section 4.2.3: type, channel, size, payload, end octet. The content
of a delivery comes in one piece on its channel: basic.deliver, a content header, and bodies until
its size is reached; frames of other channels may stand in between.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Final

from service.broker.delivery import Delivery
from service.broker.errors import BrokenContent

Sink = Callable[[list[Delivery]], None]

# When all that comes is deliveries, the library would take the broker for dead.
ALIVE_SECONDS: Final = 1.0

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_KINDS: Final = frozenset({_METHOD, _HEADER, _BODY, _HEARTBEAT})
_END: Final = 0xCE
_PAYLOAD: Final = 7  # offset of a frame's payload
_OVERHEAD: Final = 8  # of a frame: 7 octets before the payload, one after it
_DELIVER: Final = bytes.fromhex("003c003c")  # class basic, method deliver
_CLOSE: Final = bytes.fromhex("00140028")  # class channel, method close
_LEAST_ROUTE: Final = 2  # two short strings, both empty
_HEARTBEAT_FRAME: Final = bytes([_HEARTBEAT, 0, 0, 0, 0, 0, 0, _END])

_BODY_SIZE: Final = 4  # offset of the body's size in a content header
_PROPERTIES: Final = 12  # offset of its property flags

_frame = struct.Struct(">BHI").unpack_from
_tag = struct.Struct(">Q?").unpack_from
_size = struct.Struct(">Q").unpack_from
# From the end octet of one frame on, which with type and channel of the next makes one number:
# into a content header, and to the payload of a body.
_on_to_header = struct.Struct(">II4xQ").unpack_from
_on_to_body = struct.Struct(">II").unpack_from


class _Tap:
    """A channel whose deliveries are kept, and the one that is coming in."""

    def __init__(self, channel: int, sink: Sink) -> None:
        self.sink = sink
        self.to_header = _END << 24 | _HEADER << 16 | channel
        self.to_body = _END << 24 | _BODY << 16 | channel
        self.complete: list[Delivery] = []
        self.tag = 0  # of the delivery that is coming in; 0 when there is none
        self.redelivered = False
        self.route = b""
        self.header = b""
        self.body: list[bytes] = []
        self.left = 0

    def take(self, kind: int, data: bytes, at: int, stop: int) -> int:
        """Take a frame if it is of a delivery, or the whole delivery if it is all there.

        Args:
            kind: its type.
            data: what it is in.
            at: where its payload begins.
            stop: where its payload ends.

        Returns:
            Where what was taken ends; 0 if nothing was.

        Raises:
            BrokenContent: frames that do not make a delivery.
        """
        if kind == _METHOD:
            # To go on would be to acknowledge what has never come.
            if self.tag and not data.startswith(_CLOSE, at):
                raise BrokenContent(f"delivery {self.tag} was cut short")
            if not data.startswith(_DELIVER, at):
                self.tag = self.left = 0
                self.body = []
                return 0
            at += 5 + data[at + 4]  # behind the consumer tag
            tag, redelivered = _tag(data, at)
            if at + 9 + _LEAST_ROUTE > stop:
                raise BrokenContent(f"delivery {tag} does not say where it was published")
            return self._take_whole(tag, redelivered, data, at + 9, stop)
        if not self.tag:
            return 0  # of a message that was asked for, or returned
        if kind == _HEADER:
            if self.left or stop - at < _PROPERTIES:
                raise BrokenContent(f"delivery {self.tag} has a header that is none")
            (self.left,) = _size(data, at + _BODY_SIZE)
            self.header = data[at + _PROPERTIES : stop]
            if not self.left:
                self._finish(b"")
        else:
            self._take_body(data[at:stop])
        return stop + 1

    def _take_whole(self, tag: int, redelivered: bool, data: bytes, at: int, stop: int) -> int:
        """Take header and body too where both follow, as they nearly always do.

        Args:
            tag: of the delivery.
            redelivered: likewise.
            data: what it is in.
            at: where its exchange and routing key begin.
            stop: where its method ends.

        Returns:
            Where what was taken ends.
        """
        route = data[at:stop]
        header_at = stop + _OVERHEAD + _PROPERTIES
        if header_at <= len(data):
            mark, size, body_size = _on_to_header(data, stop)
            header_stop = stop + _OVERHEAD + size
            body_at = header_stop + _OVERHEAD
            body_stop: int = body_at + body_size
            # Its end octet is there, so all before it is.
            if (
                mark == self.to_header
                and size >= _PROPERTIES
                and body_stop < len(data)
                and _on_to_body(data, header_stop) == (self.to_body, body_size)
                and data[body_stop] == _END
            ):
                header, body = data[header_at:header_stop], data[body_at:body_stop]
                self.complete.append(Delivery(tag, redelivered, route, header, body))
                return body_stop + 1
        self.tag, self.redelivered, self.route = tag, redelivered, route
        return stop + 1

    def _take_body(self, body: bytes) -> None:
        if not 0 < len(body) <= self.left:
            raise BrokenContent(f"delivery {self.tag} has another body than announced")
        self.left -= len(body)
        if self.left > 0:
            self.body.append(body)
        elif self.body:
            self._finish(b"".join([*self.body, body]))
            self.body = []
        else:
            self._finish(body)

    def _finish(self, body: bytes) -> None:
        self.complete.append(Delivery(self.tag, self.redelivered, self.route, self.header, body))
        self.tag = self.left = 0


class DeliveryReader(asyncio.StreamReader):
    """A stream reader that keeps the deliveries of tapped channels for itself."""

    def __init__(self) -> None:
        super().__init__()
        self._taps: dict[int, _Tap] = {}
        self._rest = b""
        self._is_amqp = True
        self._passed_at = 0.0
        self._time = asyncio.get_running_loop().time

    def tap(self, channel: int, sink: Sink) -> None:
        """Give the deliveries of a channel to ``sink``, in order and as many as come at once.

        To be called before the channel consumes.
        """
        self._taps[channel] = _Tap(channel, sink)

    def untap(self, channel: int) -> None:
        """Leave a channel to the library again; once it has ended its number goes to another."""
        self._taps.pop(channel, None)

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # as all transports do
        """Take what the transport has received.

        Raises:
            BrokenContent: frames that do not make a delivery; the transport closes.
        """
        if not self._is_amqp:
            super().feed_data(data)
            return
        if self._rest:
            data = self._rest + data
        try:
            passed = self._peel(data)
        except (struct.error, IndexError) as error:
            raise BrokenContent(f"a frame is cut short: {error}") from error
        if passed:
            self._passed_at = self._time()
            super().feed_data(passed)
        elif self._taps and self._time() - self._passed_at > ALIVE_SECONDS:
            self._passed_at = self._time()
            super().feed_data(_HEARTBEAT_FRAME)
        for tap in self._taps.values():
            if tap.complete:
                complete, tap.complete = tap.complete, []
                tap.sink(complete)

    def feed_eof(self) -> None:
        """Let the library see what was cut off; called again when the connection is lost."""
        if self._rest:
            super().feed_data(self._rest)
            self._rest = b""
        super().feed_eof()

    def _peel(self, data: bytes) -> bytes:
        """Take deliveries out of whole frames, keep the rest, return what is to be handed on."""
        taps = self._taps
        passed: list[bytes] = []
        at = unpassed = 0
        length = len(data)
        while length - at >= _OVERHEAD:
            kind, channel, size = _frame(data, at)
            stop = at + size + _OVERHEAD
            if kind not in _KINDS or (stop <= length and data[stop - 1] != _END):
                self._is_amqp = False  # the library has the words for it
                self._rest = b""
                return b"".join([*passed, data[unpassed:]])
            if stop > length:
                break
            tap = taps.get(channel)
            if tap is not None and (taken := tap.take(kind, data, at + _PAYLOAD, stop - 1)):
                if unpassed < at:
                    passed.append(data[unpassed:at])
                stop = unpassed = taken
            at = stop
        self._rest = data[at:]
        if unpassed < at:
            passed.append(data[unpassed:at])
        return b"".join(passed)
