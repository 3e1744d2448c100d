"""Looks at the metrics from time to time, and tells how things are."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import structlog

from service import __version__
from service.broker.topology import STREAMS, sources_of
from service.ops.collection import Processes
from service.status.document import (
    Headline,
    History,
    Money,
    Spread,
    Status,
    Stream,
    Tally,
    Worker,
)
from service.status.headline import headline
from service.status.samples import Sample, Window

if TYPE_CHECKING:
    from service.settings import Settings

INTERVAL_SECONDS: Final = 2.0
# To read the files of many workers takes long: it never gets more of one core than this.
SHARE_OF_CORE: Final = 0.01
NOW_SECONDS: Final = 10.0
MINUTE_SECONDS: Final = 60.0
HISTORY_SECONDS: Final = 600.0

SETTLED: Final = "billing_batch_events_sum"
IN_HAND: Final = "billing_unacknowledged"

log = structlog.get_logger()


class Point(NamedTuple):
    """What is kept of a sample for long: the rates since the one before it, by stream."""

    at: float
    rates: dict[str, float]


class Monitor:
    """Keeps samples of the last minute, and rates of the last ten.

    Args:
        settings: gives those in force.
        workers: tells what each worker is at.
        draining: tells whether the service has been told to stop.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        workers: Callable[[], Sequence[Worker]],
        draining: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._draining = draining
        self._samples = deque([Sample(time.monotonic(), Processes().collect())])
        self._points: deque[Point] = deque()
        self._began = self._samples[0].at
        self._interval = INTERVAL_SECONDS
        self._title = ""
        self._title_since = self._began
        self._sampling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to look."""
        self._sampling = asyncio.create_task(self._sample_for_ever(), name="status")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Look no more."""
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.wait({self._sampling})

    async def _sample_for_ever(self) -> None:
        """Take samples until cancelled. What goes wrong here must not touch the workers."""
        while True:
            await asyncio.sleep(self._interval)
            began = time.process_time()
            try:
                self.add(Sample(time.monotonic(), Processes().collect()))
                self._headline(self._workers())
            except Exception:
                log.exception("status: no sample taken")
            cost = time.process_time() - began
            self._interval = max(INTERVAL_SECONDS, cost / SHARE_OF_CORE)

    def add(self, sample: Sample) -> None:
        """Take in the newest sample, and forget what is too old."""
        window = Window(self._samples[-1], sample)
        rates = {name: window.rate(SETTLED, stream=name) for name in STREAMS}
        self._points.append(Point(sample.at, rates))
        self._samples.append(sample)
        while self._points[0].at < sample.at - HISTORY_SECONDS:
            self._points.popleft()
        # Two are kept at least, however far apart they are.
        while len(self._samples) > 2 and self._samples[1].at <= sample.at - MINUTE_SECONDS:
            self._samples.popleft()

    def status(self) -> Status:
        """Tell how things are by the last sample and, as for the workers, at this moment."""
        last, workers = self._samples[-1], list(self._workers())
        ages = [round(last.at - point.at, 1) for point in self._points]
        consumed = sources_of(self._settings())
        names = [name for name, source in STREAMS.items() if source in consumed]
        rates = {name: [round(p.rates[name], 2) for p in self._points] for name in names}
        return Status(
            at=time.time() - (time.monotonic() - last.at),
            version=__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
            uptime_s=time.monotonic() - self._began,
            interval_s=self._interval,
            headline=self._headline(workers),
            workers=workers,
            streams={name: self._stream(name) for name in names},
            statuses=self._statuses(),
            money=Money(
                waiting=int(last.total("billing_refunds_waiting")),
                oldest_s=last.total("billing_refunds_oldest_seconds"),
                booked=_counts(last.by("billing_money_total", "kind")),
            ),
            history=History(HISTORY_SECONDS, ages, rates),
        )

    def _headline(self, workers: Sequence[Worker]) -> Headline:
        """Sum it up, and remember since when it has been so."""
        last, now = self._samples[-1], self._window(NOW_SECONDS)
        held = [s.total(IN_HAND) for s in self._samples if s.at >= now.before.at]
        waiting = last.by("billing_queue_messages", "queue")
        found = headline(
            workers,
            draining=self._draining(),
            rate=now.rate(SETTLED),
            in_hand=int(held[-1]),
            stuck=int(min(held)),
            waiting=int(sum(waiting.get(s.queue, 0) for s in sources_of(self._settings()))),
        )
        if found.title != self._title:
            self._title, self._title_since = found.title, time.monotonic()
        since = time.monotonic() - self._title_since
        return Headline(found.title, found.detail, found.level, since)

    def _window(self, seconds: float) -> Window:
        """Return the last so many seconds, or what comes nearest to them."""
        *earlier, last = self._samples
        within = [sample for sample in earlier if sample.at >= last.at - seconds]
        return Window((within or [*earlier[-1:], last])[0], last)

    def _stream(self, name: str) -> Stream:
        last, minute = self._samples[-1], self._window(MINUTE_SECONDS)
        source = STREAMS[name]
        flushes = minute.grown("billing_batches_total", "reason", stream=name)
        flushed = sum(flushes.values())
        return Stream(
            queue=source.queue,
            rate=self._window(NOW_SECONDS).rate(SETTLED, stream=name),
            settled=int(last.total(SETTLED, stream=name)),
            waiting=_whole(last.known("billing_queue_messages", queue=source.queue)),
            in_hand=int(last.total(IN_HAND, stream=name)),
            lag=_spread(minute, "billing_publish_to_commit_seconds", name),
            commit=_spread(minute, "billing_commit_seconds", name),
            batch=minute.mean("billing_batch_events", stream=name),
            batch_size=sources_of(self._settings())[source].batch_size,
            flushed_by={reason: n / flushed for reason, n in flushes.items() if n},
            outcomes=_counts(last.by("billing_events_total", "outcome", stream=name)),
            parked=int(last.total("billing_parked", stream=name)),
            parked_oldest_s=last.total("billing_parked_oldest_seconds", stream=name),
            dead_letters=_counts(last.by("billing_dead_letters_total", "cause", stream=name)),
            dead_waiting=_whole(last.known("billing_queue_messages", queue=source.dead_queue)),
            redelivered=int(last.total("billing_redelivered_total", stream=name)),
        )

    def _statuses(self) -> dict[str, Tally]:
        now = self._window(NOW_SECONDS)
        grown = now.grown("billing_cdr_statuses_total", "status")
        totals = now.after.by("billing_cdr_statuses_total", "status")
        return {
            status: Tally(int(total), grown[status] / now.seconds if now.seconds else 0.0)
            for status, total in totals.items()
        }


def _spread(window: Window, name: str, stream: str) -> Spread | None:
    median = window.quantile(0.5, name, stream=stream)
    highest = window.quantile(0.99, name, stream=stream)
    return None if median is None or highest is None else Spread(median, highest)


def _counts(values: dict[str, float]) -> dict[str, int]:
    """Return counts that are above zero."""
    return {name: int(value) for name, value in values.items() if value}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
