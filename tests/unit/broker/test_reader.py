from __future__ import annotations

import asyncio
import itertools
import math
import random

import pytest
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from service.broker import reader as reader_module
from service.broker.delivery import Delivery
from service.broker.errors import BrokenContent
from service.broker.reader import DeliveryReader
from service.events.message import Message
from tests.support.wire import delivery_of, frames_of

HEARTBEAT = frame.marshal(Heartbeat(), 0)
START = frame.marshal(commands.Connection.Start(), 0)
ACK_OK = frame.marshal(commands.Basic.ConsumeOk("ctag"), 7)
CANCEL = frame.marshal(commands.Basic.Cancel("ctag"), 7)
CLOSE = frame.marshal(commands.Connection.Close(320, "CONNECTION_FORCED", 0, 0), 0)


def sent(number: int, body: bytes = b'{"a": 1}', **headers: object) -> Delivery:
    message = Message("messaging", "dlr.deliver_sm", f"m{number}", headers, body)
    return delivery_of(message, number, redelivered=number % 2 == 0)


class Wire:
    """A reader with channel 7 tapped, and what comes out of it on either side."""

    def __init__(self) -> None:
        self.reader = DeliveryReader()
        self.kept: list[Delivery] = []
        self.reader.tap(7, self.kept.extend)

    def feed(self, data: bytes, size: int | None = None) -> None:
        for at in range(0, len(data), size or len(data)):
            self.reader.feed_data(data[at : at + (size or len(data))])

    @property
    def passed(self) -> bytes:
        return bytes(self.reader._buffer)


@pytest.fixture
async def wire(monkeypatch):
    monkeypatch.setattr(reader_module, "ALIVE_SECONDS", math.inf)
    return Wire()


async def test_a_delivery_is_kept_and_all_else_passes(wire):
    wire.feed(ACK_OK + frames_of(sent(1), 7) + HEARTBEAT)
    assert wire.kept == [sent(1)]
    assert wire.passed == ACK_OK + HEARTBEAT


async def test_what_is_kept_says_what_was_sent(wire):
    wire.feed(frames_of(sent(2, b"DELIVRD", type="deliver_sm"), 7))
    (delivery,) = wire.kept
    assert (delivery.tag, delivery.redelivered) == (2, True)
    assert delivery.message == Message(
        "messaging", "dlr.deliver_sm", "m2", {"type": "deliver_sm"}, b"DELIVRD"
    )


async def test_frames_may_be_cut_anywhere(wire):
    wanted = [sent(1), sent(2, b""), sent(3, b"x" * 50, cid="smsc1")]
    data = ACK_OK + b"".join(frames_of(d, 7, largest=20) for d in wanted) + HEARTBEAT + CANCEL
    for size in range(1, len(data) + 1):
        each = Wire()
        each.feed(data, size)
        assert each.kept == wanted
        assert each.passed == ACK_OK + HEARTBEAT + CANCEL


async def test_every_two_cuts_of_one_delivery(wire):
    data = HEARTBEAT + frames_of(sent(1, b"body"), 7) + ACK_OK
    for first, second in itertools.combinations(range(1, len(data)), 2):
        each = Wire()
        for part in (data[:first], data[first:second], data[second:]):
            each.feed(part)
        assert each.kept == [sent(1, b"body")]
        assert each.passed == HEARTBEAT + ACK_OK


async def test_channels_may_take_turns_frame_by_frame(wire):
    other: list[Delivery] = []
    wire.reader.tap(9, other.extend)
    mine, theirs = sent(1, b"m" * 60), sent(2, b"t" * 60)
    frames = [split(frames_of(d, channel, largest=20)) for d, channel in ((mine, 7), (theirs, 9))]
    untapped = split(frames_of(sent(3, b"u" * 60), 8, largest=20))
    woven = [part for turn in zip(*frames, untapped, strict=True) for part in turn]
    wire.feed(b"".join(woven))
    assert (wire.kept, other) == ([mine], [theirs])
    assert wire.passed == b"".join(untapped)


async def test_content_that_is_no_delivery_passes(wire):
    got = frame.marshal(commands.Basic.GetOk(1, False, "", "q", 0), 7)
    returned = frame.marshal(commands.Basic.Return(312, "NO_ROUTE", "", "q"), 7)
    content = frame.marshal(ContentHeader(body_size=2), 7) + frame.marshal(ContentBody(b"{}"), 7)
    wire.feed(frames_of(sent(1), 7) + got + content + returned + content)
    assert wire.kept == [sent(1)]
    assert wire.passed == got + content + returned + content


async def test_a_delivery_that_is_cut_short_by_a_close_is_none(wire):
    method, header, _ = split(frames_of(sent(1), 7))
    closed = frame.marshal(commands.Channel.Close(320, "gone", 0, 0), 7)
    wire.feed(method + header + closed + frames_of(sent(2), 7))
    assert wire.kept == [sent(2)]
    assert wire.passed == closed


async def test_nothing_of_a_delivery_that_was_cut_short_is_left(wire):
    *begun, _ = split(frames_of(sent(1, b"old" * 10), 7, largest=20))
    closed = frame.marshal(commands.Channel.Close(320, "gone", 0, 0), 7)
    wire.feed(b"".join(begun) + closed + frames_of(sent(2, b"new" * 10), 7, largest=20))
    assert wire.kept == [sent(2, b"new" * 10)]


@pytest.mark.parametrize("size", [None, 1])
async def test_a_delivery_that_is_cut_short_by_another_ends_the_connection(wire, size):
    *begun, _ = split(frames_of(sent(1, b"old" * 10), 7, largest=20))
    with pytest.raises(BrokenContent, match="delivery 1 was cut short"):
        wire.feed(b"".join(begun) + frames_of(sent(2), 7), size)
    assert wire.kept == []


async def test_a_body_that_nothing_announced_ends_the_connection(wire):
    method, _, body = split(frames_of(sent(1), 7))
    with pytest.raises(BrokenContent, match="another body than announced"):
        wire.feed(method + body)


@pytest.mark.parametrize("number", [0, 1, 2], ids=["method", "header", "body"])
async def test_a_frame_that_does_not_end_as_it_must_is_left_to_the_library(wire, number):
    frames = split(frames_of(sent(1), 7))
    frames[number] = frames[number][:-1] + b"\0"
    data = b"".join(frames)
    wire.feed(data)
    assert wire.kept == []
    assert data.endswith(wire.passed)
    assert wire.passed.startswith(frames[number])


async def test_frames_that_do_not_make_a_delivery_end_the_connection(wire):
    method, header, body = split(frames_of(sent(1, b"x" * 10), 7))
    empty = frame.marshal(ContentBody(b""), 7)
    half = frame.marshal(ContentBody(b"x" * 5), 7)
    qos = frame.marshal(commands.Basic.QosOk(), 7)
    for data in (
        method + empty + header,
        method + header + half + header + half,
        method + header + half + qos,
        bytes([1, 0, 7, 0, 0, 0, 5]) + bytes.fromhex("003c003cff") + b"\xce",
        method + bytes([2, 0, 7, 0, 0, 0, 4]) + bytes(4) + b"\xce" + body,
        bytes([1, 0, 7, 0, 0, 0, 8]) + bytes.fromhex("003c003c") + bytes(4) + b"\xce" + body,
        bytes([1, 0, 7, 0, 0, 0, 14])
        + bytes.fromhex("003c003c")
        + bytes(10)
        + b"\xce"
        + header
        + body,
    ):
        each = Wire()
        with pytest.raises(BrokenContent):
            each.feed(data)
        assert each.kept == []


async def test_a_close_of_the_connection_passes_behind_what_was_delivered(wire):
    wire.feed(frames_of(sent(1), 7) + CLOSE)
    assert wire.kept == [sent(1)]
    assert wire.passed == CLOSE


async def test_a_channel_that_is_not_tapped_any_more_is_the_librarys(wire):
    wire.reader.untap(7)
    wire.feed(frames_of(sent(1), 7))
    assert wire.kept == []
    assert wire.passed == frames_of(sent(1), 7)


async def test_deliveries_that_come_together_are_given_together(wire):
    calls: list[list[Delivery]] = []
    wire.reader.tap(7, calls.append)
    wire.feed(b"".join(frames_of(sent(n), 7) for n in range(1, 6)))
    assert [len(call) for call in calls] == [5]


async def test_the_library_is_told_that_the_broker_lives(wire, monkeypatch):
    monkeypatch.setattr(reader_module, "ALIVE_SECONDS", 0.0)
    wire.feed(frames_of(sent(1), 7)[:-3])
    assert wire.passed == HEARTBEAT


async def test_a_handshake_that_comes_in_pieces_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(reader_module, "ALIVE_SECONDS", 0.0)
    reader = DeliveryReader()
    reader.feed_data(START[:5])
    assert bytes(reader._buffer) == b""
    reader.feed_data(START[5:])
    assert bytes(reader._buffer) == START


@pytest.mark.parametrize("rubbish", [b"AMQP\x00\x00\x09\x01", b"\x01\x00\x00\x00\x00\x00\x01xy"])
async def test_what_is_no_frame_is_the_librarys_to_refuse(wire, rubbish):
    wire.feed(frames_of(sent(1), 7) + HEARTBEAT + rubbish, 5)
    wire.feed(frames_of(sent(2), 7))
    assert wire.kept == [sent(1)]
    assert wire.passed == HEARTBEAT + rubbish + frames_of(sent(2), 7)


async def test_the_end_shows_what_was_cut_off(wire):
    wire.feed(frames_of(sent(1), 7)[:20])
    wire.reader.feed_eof()
    wire.reader.feed_eof()  # as when the connection is lost behind it
    assert wire.passed == frames_of(sent(1), 7)[:20]
    assert wire.reader._eof


async def test_the_library_reads_what_passes(wire):
    reading = asyncio.create_task(wire.reader.readexactly(len(ACK_OK)))
    await asyncio.sleep(0)
    wire.feed(frames_of(sent(1), 7) + ACK_OK, 3)
    assert await reading == ACK_OK


async def test_any_mixture_in_any_pieces(wire):
    rng = random.Random(20240101)
    for _ in range(50):
        each, wanted, passed, data = Wire(), [], b"", b""
        for number in range(1, rng.randint(2, 30)):
            if rng.random() < 0.3:
                other = rng.choice([HEARTBEAT, ACK_OK, frames_of(sent(1), 3)])
                passed += other
                data += other
            else:
                wanted.append(sent(number, rng.randbytes(rng.choice([0, 1, 200, 3000]))))
                data += frames_of(wanted[-1], 7, largest=1000)
        while data:
            cut = rng.randint(1, 700)
            each.feed(data[:cut])
            data = data[cut:]
        assert each.kept == wanted
        assert each.passed == passed


def split(data: bytes) -> list[bytes]:
    """Return frames one by one."""
    frames = []
    while data:
        size = 8 + int.from_bytes(data[3:7])
        frames.append(data[:size])
        data = data[size:]
    return frames
