"""Figures of one run, from its batches. Pure."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median
from typing import NamedTuple

import numpy as np

from bench.lab.contestant import Batch


class Window(NamedTuple):
    """The time from the commit of the first batch to that of the last one.

    Attributes:
        start: POSIX time.
        end: POSIX time.
        events: those of all batches but the first.
    """

    start: float
    end: float
    events: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


def window(batches: Sequence[Batch]) -> Window | None:
    """Return what throughput is measured over; None for a run that was over at once."""
    if not batches:
        return None
    ordered = sorted(batches)  # those of several workers
    start, end = ordered[0].at, ordered[-1].at
    events = sum(batch.size for batch in ordered[1:])
    return Window(start, end, events) if end > start else None


def batch_sizes(batches: Sequence[Batch]) -> dict[str, float]:
    """Return how many batches there are, and how full."""
    sizes = [batch.size for batch in batches]
    if not sizes:
        return {"count": 0}
    return {"count": len(sizes), "median": median(sizes), "mean": round(fmean(sizes), 1)}


def flush_reasons(batches: Sequence[Batch]) -> dict[str, int]:
    """Return how many batches were written for each reason, as far as it is said."""
    return dict(Counter(batch.flushed_by for batch in batches if batch.flushed_by).most_common())


def commit_times(batches: Sequence[Batch]) -> dict[str, float]:
    """Return percentiles of the milliseconds that transactions took, as far as it is said."""
    return percentiles([batch.commit_ms for batch in batches if batch.commit_ms is not None])


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Return ``p50``, ``p95``, ``p99`` and ``max`` of times; nothing of none."""
    if not times:
        return {}
    values = np.percentile(times, [50, 95, 99, 100])
    return {
        name: round(float(value), 1)
        for name, value in zip(("p50", "p95", "p99", "max"), values, strict=True)
    }
