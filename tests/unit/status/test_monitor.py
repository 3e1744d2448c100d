from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample as Value

from service.ops.collection import Processes
from service.settings import Capture, Database, Settings
from service.status import monitor as module
from service.status.document import Status, Worker, WorkerState
from service.status.monitor import HISTORY_SECONDS, INTERVAL_SECONDS, MINUTE_SECONDS, Monitor
from service.status.samples import Sample
from tests.support.service import eventually

SETTINGS = Settings(database=Database(url="postgresql://billing@db/billing"))


class Figures(dict[tuple[str, str, str], float]):
    """Values of metrics by (name, label, its value), those of the stream dlr."""

    def families(self):
        samples = [
            Value(name, {"stream": "dlr"} | ({label: text} if label else {}), value)
            for (name, label, text), value in self.items()
        ]
        return [SimpleNamespace(samples=samples)]

    def at(self, seconds: float) -> Sample:
        return Sample(seconds, self.families())


@pytest.fixture
def figures(monkeypatch) -> Figures:
    figures = Figures()
    monkeypatch.setattr(Processes, "collect", lambda _: figures.families())
    return figures


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    clock = SimpleNamespace(monotonic=lambda: clock.now, time=lambda: 1e9, process_time=lambda: 0)
    clock.now = 0.0
    monkeypatch.setattr(module, "time", clock)
    return clock


class Service:
    """What the supervisor tells."""

    def __init__(self) -> None:
        self.workers = [Worker(1, WorkerState.READY, "closed", pid=77)]
        self.draining = False

    def monitor(self) -> Monitor:
        return Monitor(lambda: SETTINGS, lambda: self.workers, lambda: self.draining)


def settle(monitor: Monitor, figures: Figures, clock, seconds: int, rate: float) -> None:
    """Let time pass, with so many events a second."""
    for _ in range(0, seconds, 2):
        clock.now += 2
        events = ("billing_batch_events_sum", "", "")
        figures[events] = figures.get(events, 0) + 2 * rate
        monitor.add(figures.at(clock.now))


def test_before_anything_has_happened_all_is_nothing(figures, clock):
    status = Service().monitor().status()
    assert status.headline.title == "Idle"
    dlr = status.streams["dlr"]
    assert (dlr.rate, dlr.settled, dlr.waiting, dlr.lag, dlr.batch) == (0, 0, None, None, None)
    assert (dlr.batch_size, status.streams["bill"].batch_size) == (1000, 500)
    assert status.history.ages_s == []


def test_now_is_the_last_ten_seconds_and_history_is_longer(figures, clock):
    monitor = Service().monitor()
    settle(monitor, figures, clock, 20, rate=50)
    settle(monitor, figures, clock, 10, rate=10)
    status = monitor.status()
    assert status.streams["dlr"].rate == pytest.approx(10)
    assert status.streams["bill"].rate == 0
    assert status.streams["dlr"].settled == 1100
    assert status.history.rates["dlr"] == [50] * 10 + [10] * 5
    assert status.history.ages_s[0] == 28
    assert status.history.ages_s[-1] == 0


def test_what_is_kept_is_bounded(figures, clock):
    monitor = Service().monitor()
    settle(monitor, figures, clock, 2 * int(HISTORY_SECONDS), rate=1)
    assert max(monitor.status().history.ages_s) <= HISTORY_SECONDS
    assert len(monitor._points) <= HISTORY_SECONDS / INTERVAL_SECONDS + 1
    assert len(monitor._samples) <= MINUTE_SECONDS / INTERVAL_SECONDS + 1


def test_samples_far_apart_still_have_a_rate(figures, clock):
    monitor = Service().monitor()
    figures["billing_batch_events_sum", "", ""] = 900
    clock.now = 90
    monitor.add(figures.at(90))
    assert monitor.status().streams["dlr"].rate == 10


def test_counters_that_begin_again_do_not_go_below_nothing(figures, clock):
    monitor = Service().monitor()
    settle(monitor, figures, clock, 10, rate=50)
    figures.clear()
    settle(monitor, figures, clock, 4, rate=5)
    status = monitor.status()
    assert min(status.history.rates["dlr"]) == 5
    assert status.streams["dlr"].rate >= 0


def test_a_headline_tells_since_when(figures, clock):
    service = Service()
    monitor = service.monitor()
    settle(monitor, figures, clock, 10, rate=5)
    assert monitor.status().headline.title == "Settling"
    clock.now += 7
    assert monitor.status().headline.since_s == pytest.approx(7)
    service.workers = [Worker(1, WorkerState.DATABASE_AWAY, "open")]
    figures["billing_unacknowledged", "", ""] = 12
    monitor.add(figures.at(clock.now))
    headline = monitor.status().headline
    assert (headline.title, headline.since_s) == ("Database away", 0)
    assert "holding 12 events" in headline.detail


def test_what_is_held_all_the_time_is_stuck_and_what_just_came_is_not(figures, clock):
    monitor = Service().monitor()
    settle(monitor, figures, clock, 20, rate=0)
    figures["billing_unacknowledged", "", ""] = 3
    settle(monitor, figures, clock, 2, rate=0)
    assert monitor.status().headline.title == "Idle"
    settle(monitor, figures, clock, 12, rate=0)
    assert monitor.status().headline.title == "Stalled"


def test_figures_come_from_the_metrics_that_have_them(figures, clock):
    monitor = Service().monitor()
    figures |= {
        ("billing_events_total", "outcome", "applied"): 40,
        ("billing_batches_total", "reason", "age"): 3,
        ("billing_batches_total", "reason", "size"): 1,
        ("billing_batch_events_sum", "", ""): 40,
        ("billing_batch_events_count", "", ""): 4,
        ("billing_commit_seconds_bucket", "le", "0.1"): 4,
        ("billing_commit_seconds_bucket", "le", "+Inf"): 4,
        ("billing_parked", "", ""): 2,
        ("billing_parked_oldest_seconds", "", ""): 61.5,
        ("billing_dead_letters_total", "cause", "database"): 5,
        ("billing_dead_letters_total", "cause", "failed"): 0,
        ("billing_queue_messages", "queue", "billing_service.dlr"): 9,
        ("billing_queue_messages", "queue", "billing_service.dlr.dead"): 5,
        ("billing_cdr_statuses_total", "status", "delivered"): 30,
        ("billing_money_total", "kind", "refund"): 6,
        ("billing_refunds_waiting", "", ""): 1,
    }
    clock.now = 10
    monitor.add(figures.at(10))
    status = monitor.status()
    dlr = status.streams["dlr"]
    assert dlr.outcomes == {"applied": 40}
    assert dlr.flushed_by == {"age": 0.75, "size": 0.25}
    assert dlr.batch == 10
    assert (dlr.commit.p50, dlr.commit.p99) == (pytest.approx(0.05), pytest.approx(0.099))
    assert (dlr.parked, dlr.parked_oldest_s) == (2, 61.5)
    assert dlr.dead_letters == {"database": 5}
    assert (dlr.waiting, dlr.dead_waiting) == (9, 5)
    assert (status.statuses["delivered"].total, status.statuses["delivered"].rate) == (30, 3)
    assert (status.money.waiting, status.money.booked) == (1, {"refund": 6})
    assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.001)


async def test_what_fails_is_told_and_tried_again(monkeypatch, figures, quick, logged):
    monitor = Service().monitor()
    answers = iter([OSError("no such file"), CollectorRegistry().collect()])

    def collect(_):
        answer = next(answers, [])
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Processes, "collect", collect)
    monitor._interval = 0.001

    async def has_history() -> bool:
        return bool(monitor.status().history.ages_s)

    async with monitor:
        await eventually(has_history)
    assert [line["event"] for line in logged] == ["status: no sample taken"]


async def test_samples_that_cost_much_are_taken_less_often(monkeypatch, figures):
    monitor = Service().monitor()
    monitor._interval = 0.001
    cpu = iter([0.0, 0.5])
    monkeypatch.setattr(module.time, "process_time", lambda: next(cpu, 0.5))

    async def interval() -> float:
        return round(monitor.status().interval_s)

    async with monitor:
        await eventually(interval, 50)


def test_submissions_are_shown_where_they_are_captured(figures, clock):
    captures = SETTINGS.model_copy(update={"capture": Capture(enabled=True, batch_size=250)})
    shown = Monitor(lambda: captures, list, lambda: False).status()
    assert shown.streams["submit"].batch_size == 250
    assert shown.history.rates.keys() == {"dlr", "bill", "submit"}
    assert Service().monitor().status().streams.keys() == {"dlr", "bill"}


def test_what_nobody_consumes_any_more_does_not_wait_for_us(figures, clock):
    monitor = Service().monitor()
    figures["billing_queue_messages", "queue", "billing_service.submit"] = 5
    settle(monitor, figures, clock, 2, rate=5)
    assert "5 wait" not in monitor.status().headline.detail
    figures["billing_queue_messages", "queue", "billing_service.dlr"] = 3
    settle(monitor, figures, clock, 2, rate=5)
    assert "3 wait" in monitor.status().headline.detail
