"""The open model: what is late, or slow, counts from when it was due."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench.formats import Publication
from bench.lab.figures import percentiles
from bench.lab.latencies import AGE_SECONDS, Latencies
from bench.lab.schedule import Schedule
from bench.lab.sender import Sender

START = 1_800_000_000.0
RATE = 1000.0
COMMIT_SECONDS = 0.05


class Clock:
    """A clock that only its tests move."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Broker:
    """Takes a moment for each publication, and hangs once; a service commits what has come."""

    def __init__(self, clock: Clock, *, hangs_at: int = -1, hangs_for: float = 0.0) -> None:
        self.published: list[str] = []
        self.committed: dict[str, float] = {}
        self._clock = clock
        self._hangs_at = hangs_at
        self._hangs_for = hangs_for

    def publish(self, messages: list[Publication]) -> None:
        ids = [message.body.decode() for message in messages]
        if str(self._hangs_at) in ids:
            self._clock.now += self._hangs_for
        self.published += ids
        self.committed |= dict.fromkeys(ids, self._clock.now + COMMIT_SECONDS)

    def wait(self, *, unconfirmed: int = 0) -> None:
        """Everything is confirmed at once."""

    def find(self, ids: Sequence[str]) -> list[tuple[str, float]]:
        return [(i, at) for i in ids if (at := self.committed.get(i, START * 2)) <= self._clock.now]


def events(count: int) -> list[tuple[str, Publication]]:
    return [(str(number), Publication("", "", str(number).encode())) for number in range(count)]


def run(clock: Clock, broker: Broker, count: int) -> tuple[Sender, Latencies]:
    """Publish events until there are none left, and find all of their commits."""
    latencies = Latencies(broker.find, lambda _: None, clock)
    sender = Sender(broker, Schedule(START, RATE), events(count), latencies, clock)
    while not sender.is_done:
        sender.send_due()
        clock.now += max(0.001, sender.seconds_left)
    clock.now += COMMIT_SECONDS
    latencies.look(age=0.0)
    return sender, latencies


def test_what_is_due_depends_on_the_clock_alone() -> None:
    schedule = Schedule(START, 8.0)
    assert schedule.due(START - 0.001) == 0
    assert schedule.due(START) == 1
    assert schedule.due(START + 1) == 9
    assert [schedule.at(number) for number in (0, 4, 80)] == [START, START + 0.5, START + 10]


@pytest.mark.parametrize("rate", [0.5, 3.0, 1000.0, 33_333.3])
def test_an_event_is_due_when_its_time_has_come(rate: float) -> None:
    schedule = Schedule(START, rate)
    for number in range(1000):
        assert schedule.due(schedule.at(number) + 1e-6) == number + 1
        assert schedule.due(schedule.at(number) - 1e-6) == number


def test_sends_each_event_once_when_it_is_due() -> None:
    clock = Clock()
    broker = Broker(clock)
    sender, latencies = run(clock, broker, 5000)
    assert broker.published == [str(number) for number in range(5000)]
    assert sender.sent == len(sender.late) == len(latencies.measured) == 5000
    assert clock.now - START == pytest.approx(5.05, abs=0.01)
    assert max(sender.late) < 3
    assert max(latencies.measured) < 3 + COMMIT_SECONDS * 1000


def test_events_that_were_due_in_a_stall_count_from_when_they_were_due() -> None:
    clock = Clock()
    sender, latencies = run(clock, Broker(clock, hangs_at=4000, hangs_for=2.0), 10_000)
    assert sender.sent == 10_000
    # A sender that waits for the broker and measures from then on would have seen one slow event.
    committed_late = 1000 + COMMIT_SECONDS * 1000
    slow = [latency for latency in latencies.measured if latency > committed_late]
    assert len(slow) == pytest.approx(1000, abs=20)
    assert max(latencies.measured) == pytest.approx(2000 + COMMIT_SECONDS * 1000, abs=5)
    assert max(sender.late) == pytest.approx(2000, abs=5)
    found = percentiles(latencies.measured)
    assert found["p50"] == pytest.approx(COMMIT_SECONDS * 1000, abs=5)
    assert found["p95"] > 1500
    assert clock.now - START == pytest.approx(10.05, abs=0.01)  # and the stall has moved nothing


def test_asks_only_for_what_has_had_its_time() -> None:
    clock = Clock()
    asked: list[str] = []

    def find(ids: Sequence[str]) -> list[tuple[str, float]]:
        asked.extend(ids)
        return []

    latencies = Latencies(find, lambda _: None, clock)
    latencies.expect("old", START)
    latencies.expect("new", START + 0.5)
    clock.now = START + AGE_SECONDS + 0.25
    latencies.look()
    assert asked == ["old"]
    assert latencies.pending == 2


def test_asks_again_until_it_is_committed_and_tells_of_each_once() -> None:
    clock = Clock()
    broker = Broker(clock)
    told: list[float] = []
    latencies = Latencies(broker.find, told.append, clock)
    for message_id in ("a", "b"):
        latencies.expect(message_id, START)
    broker.committed = {"b": START + 0.125, "a": START + 3.0}
    clock.now = START + 2.0
    latencies.look()
    assert told == [125.0]
    clock.now = START + 4.0
    latencies.look()
    latencies.look()
    assert told == [125.0, 3000.0]
    assert list(latencies.measured) == told
    assert latencies.pending == 0


def test_leaves_the_rest_for_later_when_the_service_has_stalled() -> None:
    clock = Clock()
    asked = 0

    def find(ids: Sequence[str]) -> list[tuple[str, float]]:
        nonlocal asked
        asked += len(ids)
        return []

    latencies = Latencies(find, lambda _: None, clock)
    for number in range(100_000):
        latencies.expect(str(number), START)
    clock.now = START + 60
    latencies.look()
    assert 0 < asked < 10_000
    assert latencies.pending == 100_000
