from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from types import SimpleNamespace

import pytest
from aiormq.exceptions import ChannelAccessRefused
from prometheus_client import REGISTRY

from service.broker import topology, watchdog
from service.broker.catching_up import CatchingUp
from service.broker.deliveries import Deliveries
from service.broker.depth import Depth
from service.broker.errors import SessionLost
from service.broker.retirement import Retirement
from service.broker.topology import DLR, SUBMIT
from service.exits import CannotStart
from service.settings import Dlr

ROUNDS = 20
DEADLINE_SECONDS = 30


class AllWell(Exception):
    """Ends a watch that had nothing to say for ``ROUNDS`` rounds."""


@pytest.fixture(autouse=True)
def _quick(logged, monkeypatch):
    monkeypatch.setattr(watchdog, "INTERVAL_SECONDS", 0)


class Channel:
    """One with an empty queue, and a consumer that can be cancelled."""

    def __init__(self, messages=0, consumers=1):
        self._found = SimpleNamespace(message_count=messages, consumer_count=consumers)

    async def queue_declare(self, *_, **__):
        return self._found

    async def basic_cancel(self, _tag): ...


@pytest.fixture
async def consumer():
    return Deliveries(None, Channel(), DLR.queue, Dlr())


def declaring(monkeypatch, answer):
    rounds = 0

    async def declare(_connection, _sources):
        nonlocal rounds
        rounds += 1
        if rounds > ROUNDS:
            raise AllWell
        found = answer()
        if isinstance(found, Exception):
            raise found
        return {DLR.queue: found}

    monkeypatch.setattr(topology, "declare", declare)


async def watch(consumer) -> None:
    await watchdog.watch(None, {DLR: Dlr()}, [consumer], Retirement([], "/"), CatchingUp())


async def test_messages_that_wait_while_none_arrives_end_the_session(monkeypatch, consumer):
    declaring(monkeypatch, lambda: 7)
    with pytest.raises(SessionLost, match=r"billing_service\.dlr: 7 messages wait and none"):
        await watch(consumer)


async def test_an_empty_queue_is_no_reason(monkeypatch, consumer):
    declaring(monkeypatch, lambda: 0)
    with pytest.raises(AllWell):
        await watch(consumer)


async def test_as_long_as_something_arrives_or_is_in_hand_all_is_well(monkeypatch, consumer):
    def answer() -> int:
        consumer._last_tag += 1
        consumer._acknowledged += 1
        return 7

    declaring(monkeypatch, answer)
    with pytest.raises(AllWell):
        await watch(consumer)
    declaring(monkeypatch, lambda: 7)
    consumer._acknowledged -= 1  # one batch is held: there may be no room for more
    with pytest.raises(AllWell):
        await watch(consumer)


async def test_a_consumer_that_is_ending_is_not_missed(monkeypatch, consumer):
    declaring(monkeypatch, lambda: 7)
    stop = asyncio.Event()
    stop.set()
    await consumer.drain_when(stop)
    with pytest.raises(AllWell):
        await watch(consumer)


async def test_a_broker_that_does_not_answer_ends_the_session(monkeypatch, consumer):
    async def declare(_connection, _sources):
        await asyncio.Event().wait()

    monkeypatch.setattr(topology, "declare", declare)
    monkeypatch.setattr(watchdog, "ANSWER_SECONDS", 0.01)
    with pytest.raises(SessionLost, match="has not answered"):
        await watch(consumer)


async def test_so_does_one_that_does_not_tell_what_waits(monkeypatch, consumer):
    async def is_queue_empty():
        await asyncio.Event().wait()

    declaring(monkeypatch, lambda: 0)
    monkeypatch.setattr(consumer, "is_queue_empty", is_queue_empty)
    monkeypatch.setattr(watchdog, "ANSWER_SECONDS", 0.01)
    with pytest.raises(SessionLost, match="has not answered"):
        await watch(consumer)


async def test_what_an_earlier_session_was_at_is_forgotten(monkeypatch, consumer):
    catching_up = CatchingUp(itertools.count(step=10).__next__)
    await catching_up.look([consumer])
    await catching_up.look([consumer])
    assert catching_up.seconds_ago is not None

    async def is_queue_empty():
        raise SessionLost("channel closed")

    monkeypatch.setattr(consumer, "is_queue_empty", is_queue_empty)
    with pytest.raises(SessionLost):
        await watchdog.watch(None, {DLR: Dlr()}, [consumer], Retirement([], "/"), catching_up)
    assert catching_up.seconds_ago is None


async def test_it_ends_at_once_although_the_broker_owes_an_answer(monkeypatch, consumer):
    """As the client library, which does not give up a call that it has sent."""
    asked = asyncio.Event()
    answered = asyncio.Event()

    async def declare(_connection, _sources):
        asked.set()
        while not answered.is_set():
            with suppress(asyncio.CancelledError):
                await answered.wait()
        return {}

    monkeypatch.setattr(topology, "declare", declare)
    watching = asyncio.create_task(watch(consumer))
    await asked.wait()
    watching.cancel()
    await asyncio.wait({watching}, timeout=DEADLINE_SECONDS)
    answered.set()
    assert watching.cancelled()


async def test_a_topology_that_is_refused_later_on_is_said_and_lived_with(
    monkeypatch, consumer, logged
):
    async def depth(_connection, _queue):
        return Depth(0, 1)

    monkeypatch.setattr(watchdog, "depth", depth)
    declaring(monkeypatch, lambda: CannotStart("exchange messaging exists with another type"))
    with pytest.raises(AllWell):
        await watch(consumer)
    assert any("exchange messaging" in line["event"] for line in logged)


async def test_a_topology_that_is_refused_hides_no_consumer_that_gets_nothing(
    monkeypatch, consumer
):
    async def depth(_connection, queue):
        if queue == DLR.dead_queue:
            raise ChannelAccessRefused("ACCESS_REFUSED")
        return Depth(7, 1)

    monkeypatch.setattr(watchdog, "depth", depth)
    declaring(monkeypatch, lambda: CannotStart("RabbitMQ refuses: ACCESS_REFUSED"))
    with pytest.raises(SessionLost, match=r"billing_service\.dlr: 7 messages wait and none"):
        await watch(consumer)


async def test_what_is_left_in_queues_that_are_not_consumed_is_counted(monkeypatch, consumer):
    class Left:
        async def look(self, _connection):
            return {SUBMIT.queue: 3}

    declaring(monkeypatch, lambda: 0)
    watchdog.note({SUBMIT.queue: 50})
    with pytest.raises(AllWell):
        await watchdog.watch(None, {DLR: Dlr()}, [consumer], Left(), CatchingUp())
    assert REGISTRY.get_sample_value("billing_queue_messages", {"queue": SUBMIT.queue}) == 3


@pytest.mark.parametrize(
    ("messages", "consumers", "is_empty"), [(0, 1, True), (3, 1, False), (0, 0, False)]
)
async def test_a_queue_that_knows_of_no_consumer_is_not_believed(messages, consumers, is_empty):
    """We are one: it has no leader."""
    consumer = Deliveries(None, Channel(messages, consumers), DLR.queue, Dlr())
    assert await consumer.is_queue_empty() is is_empty
