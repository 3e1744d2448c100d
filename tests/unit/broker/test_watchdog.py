from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest
from aiormq.exceptions import ChannelAccessRefused
from prometheus_client import REGISTRY

from service.broker import topology, watchdog
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


@pytest.fixture
async def consumer():
    return Deliveries(None, None, DLR.queue, Dlr())


class Channel:
    """One with an empty queue, and a consumer that can be cancelled."""

    async def queue_declare(self, *_, **__):
        return SimpleNamespace(message_count=0, consumer_count=1)

    async def basic_cancel(self, _tag): ...


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
    await watchdog.watch(None, {DLR: Dlr()}, [consumer], Retirement([]))


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
    consumer._channel = Channel()
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
        await watchdog.watch(None, {DLR: Dlr()}, [consumer], Left())
    assert REGISTRY.get_sample_value("billing_queue_messages", {"queue": SUBMIT.queue}) == 3
