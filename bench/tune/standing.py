"""What is known of a cell once it has been drained with. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, Self

from bench.lab.result import Measurement
from bench.tune.cell import Cell


class Spread(NamedTuple):
    """Several runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return that of at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Standing:
    """A cell's figures, from those of its runs that had the most events.

    Attributes:
        cell: what it was drained with.
        runs: how many of them there are.
        events: in each.
        rate: events per second.
        commit_p50_ms: of the transactions of a run; the median of the runs.
        commit_p99_ms: the same of the 99th percentile.
        cpu_us: of workers, an event; the median of the runs, None if not measured.
        paced_p99_ms: from when an event was due to be published to its commit, at a steady rate
            below what is drained; the median of the runs, None if not measured.
        is_void: whether in any run, of however many events, one was not accounted for.
    """

    cell: Cell
    runs: int
    events: int
    rate: Spread
    commit_p50_ms: float
    commit_p99_ms: float
    cpu_us: float | None = None
    paced_p99_ms: float | None = None
    is_void: bool = False

    @property
    def p99_ms(self) -> float:
        """Publish to commit of 99 % of the events while workers keep up.

        Where it was not measured it is what it may be at most: an event waits for its batch no
        longer than the flush interval, and then for its commit.
        """
        if self.paced_p99_ms is not None:
            return self.paced_p99_ms
        return self.cell.flush_ms + self.commit_p99_ms

    @property
    def typical_ms(self) -> float:
        """Publish to commit, at most, with a commit of median length; few commits tell that."""
        return self.cell.flush_ms + self.commit_p50_ms


def standings(measurements: Iterable[Measurement]) -> list[Standing]:
    """Return where every cell stands that was drained with, in the order of its first run."""
    by_cell: dict[Cell, list[Measurement]] = {}
    for measurement in measurements:
        by_cell.setdefault(Cell.of(measurement.settings), []).append(measurement)
    return [_standing(cell, runs) for cell, runs in by_cell.items()]


def _standing(cell: Cell, runs: Sequence[Measurement]) -> Standing:
    drains = [run for run in runs if run.due_rate is None]
    events = max(run.events for run in drains)
    largest = [run for run in drains if run.events == events]
    cpu = [run.cpu_us["workers"] for run in largest if "workers" in run.cpu_us]
    paced = [run.latency_ms["p99"] for run in runs if "p99" in run.latency_ms]
    return Standing(
        cell,
        runs=len(largest),
        events=events,
        rate=Spread.of([run.rate or 0.0 for run in largest]),
        commit_p50_ms=median(run.commit_ms.get("p50", 0.0) for run in largest),
        commit_p99_ms=median(run.commit_ms.get("p99", 0.0) for run in largest),
        cpu_us=median(cpu) if cpu else None,
        paced_p99_ms=median(paced) if paced else None,
        is_void=any(run.is_void for run in runs),
    )
