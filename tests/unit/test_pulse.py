from __future__ import annotations

from types import SimpleNamespace

import pytest

from service import pulse
from service.store.circuit import State


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(pulse, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_worker_that_has_not_beaten_is_neither_fresh_nor_ready(clock):
    life = pulse.Pulse()
    assert (life.fresh, life.ready) == (False, False)


@pytest.mark.parametrize("consuming", [True, False])
@pytest.mark.parametrize("writable", [True, False])
def test_a_worker_is_ready_when_it_consumes_and_can_write(clock, consuming, writable):
    life = pulse.Pulse()
    life.beat(consuming=consuming, writable=writable)
    assert life.fresh
    assert life.ready == (consuming and writable)


def test_a_worker_whose_loop_hangs_is_soon_not_ready(clock):
    life = pulse.Pulse()
    life.beat(consuming=True, writable=True)
    clock.now += pulse.STALE_SECONDS - 0.1
    assert life.ready
    clock.now += 0.2
    assert (life.fresh, life.ready) == (False, False)
    life.beat(consuming=True, writable=True)
    assert life.ready


def test_a_beat_replaces_the_one_before(clock):
    life = pulse.Pulse()
    life.beat(consuming=True, writable=True)
    life.beat(consuming=True, writable=False)
    assert not life.ready


def test_it_tells_of_the_circuit(clock):
    life = pulse.Pulse()
    assert life.circuit is State.CLOSED
    life.beat(consuming=True, writable=False, circuit=State.OPEN)
    assert life.circuit is State.OPEN


def test_one_missed_beat_is_forgiven():
    assert 2 * pulse.INTERVAL_SECONDS < pulse.STALE_SECONDS
