"""What the metrics said at two moments, and what that makes a second."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from prometheus_client import Metric


class Sample:
    """The metrics at one moment.

    Args:
        at: monotonic time in seconds.
        families: as Prometheus' client gives them.
    """

    def __init__(self, at: float, families: Iterable[Metric]) -> None:
        self.at = at
        self._values: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for family in families:
            for sample in family.samples:
                self._values[sample.name].append((sample.labels, sample.value))

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Return the sums of a metric's values with these labels, by another label."""
        sums: dict[str, float] = defaultdict(float)
        for found, value in self._values.get(name, ()):
            if labels.items() <= found.items():
                sums[found.get(label, "")] += value
        return sums

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's values with these labels."""
        return sum(self.by(name, "", **labels).values())

    def known(self, name: str, **labels: str) -> float | None:
        """Return the same, or None where there is no value at all."""
        return self.total(name, **labels) if self.by(name, "", **labels) else None


class Window(NamedTuple):
    """From one sample to a later one."""

    before: Sample
    after: Sample

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.after.at - self.before.at

    def grown(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Return by how much a counter grew, by a label.

        One that is less than before began again at 0 meanwhile, as Prometheus takes it, too.
        """
        before = self.before.by(name, label, **labels)
        return {
            key: value - before.get(key, 0.0) if value >= before.get(key, 0.0) else value
            for key, value in self.after.by(name, label, **labels).items()
        }

    def growth(self, name: str, **labels: str) -> float:
        """Return by how much the sum of a counter's values grew."""
        return sum(self.grown(name, "", **labels).values())

    def rate(self, name: str, **labels: str) -> float:
        """Return the growth a second; 0 where no time has passed."""
        return self.growth(name, **labels) / self.seconds if self.seconds > 0 else 0.0

    def mean(self, name: str, **labels: str) -> float | None:
        """Return the mean of what a histogram observed; None if that was nothing."""
        count = self.growth(f"{name}_count", **labels)
        return self.growth(f"{name}_sum", **labels) / count if count else None

    def quantile(self, share: float, name: str, **labels: str) -> float | None:
        """Return a quantile of what a histogram observed; None if that was nothing."""
        grown = self.grown(f"{name}_bucket", "le", **labels)
        return quantile(share, {float(limit): count for limit, count in grown.items()})


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """Estimate a quantile within its bucket, as Prometheus does; None without observations.

    Args:
        share: of the observations, from 0 to 1, that are not above it.
        buckets: how many observations were not above each limit, infinity included.
    """
    limits = sorted(buckets)
    # A histogram that began again between two readings of its buckets could go down.
    counts = list(accumulate((buckets[limit] for limit in limits), max))
    if not counts or not counts[-1]:
        return None
    wanted, low, below = share * counts[-1], 0.0, 0.0
    for limit, count in zip(limits, counts, strict=True):
        if math.isinf(limit):
            break
        if count >= wanted and count > below:
            return low + (limit - low) * (wanted - below) / (count - below)
        low, below = limit, count
    return low  # beyond the last limit nothing more is known
