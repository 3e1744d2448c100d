from __future__ import annotations

import pytest

from service.broker.catching_up import PATIENCE_SECONDS, CatchingUp
from service.broker.errors import SessionLost


class Consumer:
    """Of a queue in which so many messages wait."""

    def __init__(self) -> None:
        self.left = self.received = self.acknowledged = 0
        self.is_lost = False

    async def is_queue_empty(self) -> bool:
        if self.is_lost:
            raise SessionLost("channel closed")
        return not self.left


class Watch:
    """Looks at two queues, by a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.dlr, self.bill = Consumer(), Consumer()
        self.catching_up = CatchingUp(lambda: self.now)

    async def look(self, after: float) -> float | None:
        """Look after some seconds; return until when all is settled."""
        self.now += after
        await self.catching_up.look([self.dlr, self.bill])
        ago = self.catching_up.seconds_ago
        return None if ago is None else self.now - ago


@pytest.fixture
def watch() -> Watch:
    return Watch()


async def test_what_was_published_before_a_look_is_settled_by_one_that_comes_later(watch):
    assert await watch.look(0) is None
    assert await watch.look(PATIENCE_SECONDS - 0.1) is None
    assert await watch.look(0.1) == 1000
    assert await watch.look(PATIENCE_SECONDS) == 1000 + PATIENCE_SECONDS
    watch.now += 100
    assert watch.catching_up.seconds_ago == 100 + PATIENCE_SECONDS


async def test_nothing_newer_is_settled_while_messages_wait(watch):
    assert await watch.look(0) is None
    assert await watch.look(5) == 1000
    watch.bill.left = 1
    assert await watch.look(5) == 1000
    watch.bill.left = 0
    assert await watch.look(5) == 1000
    assert await watch.look(5) == 1015


async def test_what_is_in_hand_is_waited_for_but_not_what_has_come_since(watch):
    watch.dlr.received, watch.dlr.acknowledged = 20, 15
    watch.bill.received = watch.bill.acknowledged = 7
    assert await watch.look(0) is None
    watch.dlr.received, watch.dlr.acknowledged = 30, 19
    assert await watch.look(60) is None
    watch.dlr.received, watch.dlr.acknowledged = 40, 20
    assert await watch.look(60) == 1000
    watch.dlr.acknowledged = 39
    assert await watch.look(60) == 1000
    watch.dlr.acknowledged = 40
    assert await watch.look(60) == 1120


async def test_one_consumer_does_not_make_up_for_another(watch):
    watch.dlr.received = 5
    assert await watch.look(0) is None
    watch.bill.received = watch.bill.acknowledged = 5
    assert await watch.look(5) is None


async def test_started_anew_nothing_is_settled(watch):
    assert await watch.look(0) is None
    assert await watch.look(5) == 1000
    watch.catching_up.start_anew()
    assert watch.catching_up.seconds_ago is None
    assert await watch.look(5) is None
    assert await watch.look(5) == 1010


async def test_a_look_that_fails_counts_for_nothing(watch):
    assert await watch.look(0) is None
    watch.dlr.is_lost = True
    with pytest.raises(SessionLost):
        await watch.look(5)
    assert watch.catching_up.seconds_ago is None
