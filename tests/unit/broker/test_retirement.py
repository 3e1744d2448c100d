from __future__ import annotations

import pytest
from aiormq.exceptions import ChannelAccessRefused

from service.broker import retirement, topology
from service.broker.depth import Depth, Missing
from service.broker.retirement import Retirement
from service.broker.topology import SUBMIT
from service.exits import CannotStart


class Broker:
    """What is asked of it, and what it is to answer: a depth, or an error, for each queue."""

    def __init__(self, monkeypatch) -> None:
        self.answers = {SUBMIT.queue: Depth(7, 0), SUBMIT.dead_queue: Depth(2, 0)}
        self.asked: list[str] = []
        self.unbound = 0
        self.refusal: Exception | None = None
        monkeypatch.setattr(retirement, "depth", self.depth)
        monkeypatch.setattr(topology, "unbind", self.unbind)

    async def depth(self, _connection, queue):
        self.asked.append(queue)
        answer = self.answers[queue]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def unbind(self, _connection, source):
        assert source is SUBMIT
        self.unbound += 1
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
def broker(monkeypatch, logged):
    return Broker(monkeypatch)


@pytest.fixture
def retired(broker):
    return Retirement([SUBMIT], "sms")


async def test_what_is_left_is_told_and_what_is_to_be_done(broker, retired, logged):
    for _ in range(3):
        assert await retired.look(None) == {SUBMIT.queue: 7, SUBMIT.dead_queue: 2}
    [told] = logged
    assert (told["log_level"], told["messages"]) == ("warning", 7)
    assert "capture.enabled (BILLING_CAPTURE_ENABLED) is false" in told["event"]
    assert "rabbitmqctl delete_queue -p sms billing_service.submit)" in told["event"]


async def test_it_is_unbound_once_two_looks_have_found_no_consumer(broker, retired):
    await retired.look(None)
    assert broker.unbound == 0
    await retired.look(None)
    assert broker.unbound == 1


async def test_workers_that_are_between_two_sessions_keep_their_binding(broker, retired):
    for consumers in (1, 0, 1, 0, 1):
        broker.answers[SUBMIT.queue] = Depth(7, consumers)
        await retired.look(None)
    assert broker.unbound == 0


async def test_where_there_is_no_queue_nothing_is_left_and_it_is_asked_for_once(
    broker, retired, logged
):
    broker.answers = {queue: Missing(queue) for queue in broker.answers}
    for _ in range(3):
        assert await retired.look(None) == {SUBMIT.queue: 0, SUBMIT.dead_queue: 0}
    assert broker.asked == [SUBMIT.queue, SUBMIT.dead_queue]
    assert logged == []


async def test_a_queue_that_is_deleted_holds_nothing_any_more(broker, retired):
    await retired.look(None)
    broker.answers[SUBMIT.queue] = Missing(SUBMIT.queue)
    assert await retired.look(None) == {SUBMIT.queue: 0, SUBMIT.dead_queue: 2}


async def test_what_is_refused_stops_nothing(broker, retired, logged):
    broker.refusal = CannotStart("RabbitMQ refuses: ACCESS_REFUSED")
    for _ in range(2):
        assert (await retired.look(None))[SUBMIT.queue] == 7
    assert "ACCESS_REFUSED" in logged[-1]["event"]
    broker.answers[SUBMIT.queue] = ChannelAccessRefused("ACCESS_REFUSED - read")
    assert (await retired.look(None))[SUBMIT.dead_queue] == 2
