from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest

from service import retry
from service.batcher import Batch
from service.broker import topology
from service.broker.delivery import Delivery
from service.broker.errors import HeldTooLong, SessionLost
from service.events.message import Message
from service.events.records import Refused, SubmitResult
from service.events.statuses import status_of
from service.settings import Dlr
from service.store.batches import Batches
from service.store.circuit import Circuit
from service.store.outcomes import Effects, Outcome
from service.store.sql import statement
from service.stream import DECODE_SLICE, MAX_DELIVERIES, Stream
from tests.support.wire import delivery_of

Decode = Callable[[Sequence[Message]], list[SubmitResult]]


class Story:
    """The broker and the database at once: what happens to them, in order."""

    def __init__(self, *batches: list[Delivery]) -> None:
        self.told: list[str] = []
        self.batches = list(batches)
        self.failing: dict[str, Exception] = {}
        self.dead: dict[str, str] = {}
        self.applied: list[str] = []
        self.attempts = self.depth = 0
        self.well_after: int | None = None
        self.received = self.unacknowledged = 0

    # the deliveries

    async def next_batch(self):
        return Batch(self.batches.pop(0), "size") if self.batches else None

    async def settle(self, batch, requeued):
        self.told += [f"requeue {tag}" for tag in sorted(requeued)]
        self.told.append(f"ack {batch.items[-1].tag}")

    async def drain_when(self, stop):
        await stop.wait()

    # the dead letters

    async def publish(self, _stream, source, letters):
        assert source is topology.DLR
        self.told += [f"dead {letter.message.message_id}" for letter in letters]
        self.dead |= {letter.message.message_id: letter.reason for letter in letters}
        if isinstance(error := self.failing.get("dead letters"), Exception):
            raise error

    # the pool, its connection and its transaction, in which savepoints may nest

    @asynccontextmanager
    async def acquire(self):
        yield self

    async def ping(self): ...

    async def execute(self, text):
        assert text == statement("check_at_once")

    @asynccontextmanager
    async def transaction(self):
        before = list(self.applied)
        self.depth += 1
        try:
            yield
        except BaseException:
            self.applied = before
            raise
        finally:
            self.depth -= 1
        if not self.depth:
            self.told.append("commit " + " ".join(self.applied))
            self.applied = []

    # the writer

    stream = "unit"

    async def apply(self, _connection, events):
        self.attempts += 1
        if self.attempts == self.well_after:
            self.failing.clear()
        for event in events:
            if event.message_id in self.failing:
                raise self.failing[event.message_id]
            self.applied.append(event.message_id)
        return Effects([Outcome.APPLIED] * len(events), Counter())

    async def log(self, _connection, _arrivals): ...


def delivery(tag: int, message_id: str, times_before: int = 0) -> Delivery:
    message = Message("messaging", "dlr.submit_sm_resp", message_id, {}, b"ESME_ROK")
    return delivery_of(message, tag, redelivered=times_before > 0, times_before=times_before)


def decode(messages: Sequence[Message]) -> list[SubmitResult]:
    return [decode_one(message) for message in messages]


def decode_one(message: Message) -> SubmitResult:
    if message.message_id == "bad":
        raise Refused("body is empty")
    return SubmitResult(message.message_id, status_of("ESME_ROK"), None)


async def tell(story: Story, hold_limit: float = 60) -> list[str]:
    batches = Batches(story, story, Circuit(story.ping, "here"))
    stream = Stream(topology.DLR, Dlr(), decode, batches, hold_limit)
    await stream.run(story, story, asyncio.Event())
    return story.told


@pytest.fixture(autouse=True)
def _quiet(logged): ...


async def test_a_batch_is_acknowledged_once_and_only_after_its_commit():
    story = Story([delivery(1, "a"), delivery(2, "b")], [delivery(3, "c")])
    assert await tell(story) == ["commit a b", "ack 2", "commit c", "ack 3"]


def stream_of(decode_batch: Decode, **options: int) -> Stream[SubmitResult]:
    """Return a stream that is asked for nothing but to decode."""
    story = Story()
    batches = Batches(story, story, Circuit(story.ping, "here"))
    return Stream(topology.DLR, Dlr(), decode_batch, batches, 60, **options)


def slow_stream(seconds: float) -> Stream[SubmitResult]:
    """Return a stream that takes so long to decode each message."""

    def decode_slowly(messages: Sequence[Message]) -> list[SubmitResult]:
        time.sleep(seconds)
        return decode(messages)

    return stream_of(decode_slowly, decode_slice=1)


@pytest.mark.parametrize(
    ("stream", "count", "at_least"),
    [(partial(stream_of, decode), 5 * DECODE_SLICE, 4), (partial(slow_stream, 0.06), 2, 21)],
    ids=["between the slices", "many after each that took long"],
)
async def test_others_have_their_turns_while_a_batch_is_decoded(
    stream: Callable[[], Stream[SubmitResult]], count: int, at_least: int
):
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    assert len(await stream().decode([delivery(tag, "a") for tag in range(count)])) == count
    assert turns >= at_least
    other.cancel()


async def test_decoding_ends_in_time_with_the_first_of_the_messages():
    messages = [delivery(tag, f"m{tag}") for tag in range(1, 101)]
    events = await slow_stream(0.02).decode(messages, within=0.1)
    assert 1 <= len(events) < 100
    assert [e.message_id for e in events] == [f"m{n + 1}" for n in range(len(events))]


async def test_what_is_refused_is_dead_lettered_with_its_reason_before_the_acknowledgement():
    story = Story([delivery(1, "a"), delivery(2, "bad")])
    assert await tell(story) == ["commit a", "dead bad", "ack 2"]
    assert story.dead == {"bad": "body is empty"}


async def test_a_batch_of_nothing_but_refusals_is_acknowledged_too():
    story = Story([delivery(1, "bad")])
    assert await tell(story) == ["dead bad", "ack 1"]


async def test_a_row_that_the_database_refuses_is_dead_lettered_alone():
    story = Story([delivery(1, "a"), delivery(2, "b"), delivery(3, "c")])
    story.failing["b"] = asyncpg.NumericValueOutOfRangeError("numeric field overflow")
    assert await tell(story) == ["commit a c", "dead b", "ack 3"]
    assert story.dead == {
        "b": "the database refuses it: NumericValueOutOfRangeError: numeric field overflow"
    }


@pytest.mark.parametrize("times_before", range(MAX_DELIVERIES - 1))
async def test_a_bug_of_ours_requeues_just_its_message(times_before):
    story = Story([delivery(1, "a"), delivery(2, "b", times_before)])
    story.failing["b"] = KeyError("bug")
    assert await tell(story) == ["commit a", "requeue 2", "ack 2"]
    assert not story.dead


async def test_a_bug_of_ours_is_dead_lettered_after_five_deliveries():
    story = Story([delivery(1, "a"), delivery(2, "b", 4)])
    story.failing["b"] = KeyError("bug")
    assert await tell(story) == ["commit a", "dead b", "ack 2"]
    assert story.dead == {"b": "failed too often: KeyError: 'bug'"}


async def test_nothing_is_acknowledged_when_the_dead_queue_does_not_take_it():
    story = Story([delivery(1, "a"), delivery(2, "bad")])
    story.failing["dead letters"] = SessionLost("channel closed")
    with pytest.raises(SessionLost):
        await tell(story)
    assert story.told == ["commit a", "dead bad"]


async def test_in_an_outage_the_batch_is_held_and_nothing_is_requeued(monkeypatch):
    story = Story([delivery(1, "a"), delivery(2, "b")])
    story.failing["b"] = asyncpg.AdminShutdownError("terminating connection")
    story.well_after = 4
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0.001)
    assert await tell(story) == ["commit a b", "ack 2"]
    assert story.attempts == 4


async def test_a_batch_that_is_held_too_long_goes_back_to_the_broker(monkeypatch):
    story = Story([delivery(1, "a")])
    story.failing["a"] = asyncpg.AdminShutdownError("terminating connection")
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0.001)
    with pytest.raises(HeldTooLong, match="a batch was held"):
        await tell(story, hold_limit=1)
    assert story.told == []
    assert story.attempts > 2
