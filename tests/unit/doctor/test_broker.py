"""How bad it is that messages wait, and that nobody consumes."""

from __future__ import annotations

import pytest

from service.broker.probes import Depth
from service.doctor import broker
from service.doctor.finding import Level


@pytest.mark.parametrize(
    ("waiting", "level"), [(500, Level.PROBLEM), (100, Level.WARNING), (99, Level.OK)]
)
def test_a_queue_that_fills_is_the_worse_the_fuller(waiting, level):
    assert broker._waiting("q", Depth(waiting, 1), 1000).level is level


@pytest.mark.parametrize(
    ("depth", "level"),
    [(Depth(5, 0), Level.PROBLEM), (Depth(0, 0), Level.WARNING), (Depth(5, 1), Level.OK)],
)
def test_no_consumer_is_worse_when_messages_wait(depth, level):
    assert broker._consumed("q", depth).level is level
