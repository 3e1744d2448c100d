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

Sink = Callable[[list[Delivery]], None]

# When all that comes is deliveries, the library would take the broker for dead.
ALIVE_SECONDS: Final = 1.0

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_KINDS: Final = frozenset({_METHOD, _HEADER, _BODY, _HEARTBEAT})
_END: Final = 0xCE
_OVERHEAD: Final = 8  # of a frame: 7 octets before the payload, one after it
_DELIVER: Final = bytes.fromhex("003c003c")  # class basic, method deliver
_HEARTBEAT_FRAME: Final = bytes([_HEARTBEAT, 0, 0, 0, 0, 0, 0, _END])

_frame = struct.Struct(">BHI").unpack_from
_tag = struct.Struct(">Q?").unpack_from
_size = struct.Struct(">Q").unpack_from


class _Tap:
    """A channel whose deliveries are kept, and the one that is coming in."""

    __slots__ = ("body", "complete", "header", "left", "redelivered", "route", "sink", "tag")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.complete: list[Delivery] = []
        self.tag = 0  # of the delivery that is coming in; 0 when there is none
        self.redelivered = False
        self.route = b""
        self.header = b""
        self.body: list[bytes] = []
        self.left = 0

    def takes(self, kind: int, data: bytes, at: int, stop: int) -> bool:
        """Take a frame if it is of a delivery.

        Args:
            kind: its type.
            data: what it is in.
            at: where its payload begins.
            stop: where its payload ends.
        """
        if kind == _METHOD:
            if not data.startswith(_DELIVER, at):
                self.tag = 0
                self.body = []
                return False
            at += 5 + data[at + 4]  # behind the consumer tag
            self.tag, self.redelivered = _tag(data, at)
            self.route = data[at + 9 : stop]
            return True
        if not self.tag:
            return False  # of a message that was asked for, or returned
        if kind == _HEADER:
            (self.left,) = _size(data, at + 4)
            self.header = data[at + 12 : stop]
            if not self.left:
                self._finish(b"")
            return True
        body = data[at:stop]
        self.left -= len(body)
        if self.left > 0:
            self.body.append(body)
        elif self.body:
            self._finish(b"".join([*self.body, body]))
            self.body = []
        else:
            self._finish(body)
        return True

    def _finish(self, body: bytes) -> None:
        self.complete.append(Delivery(self.tag, self.redelivered, self.route, self.header, body))
        self.tag = 0


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
        self._taps[channel] = _Tap(sink)

    def untap(self, channel: int) -> None:
        """Leave a channel to the library again; once it has ended its number goes to another."""
        self._taps.pop(channel, None)

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # as all transports do
        """Take what the transport has received."""
        if not self._is_amqp:
            super().feed_data(data)
            return
        if self._rest:
            data = self._rest + data
        passed = self._peel(data)
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
            if tap is not None and tap.takes(kind, data, at + 7, stop - 1):
                if unpassed < at:
                    passed.append(data[unpassed:at])
                unpassed = stop
            at = stop
        self._rest = data[at:]
        if unpassed < at:
            passed.append(data[unpassed:at])
        return b"".join(passed)
