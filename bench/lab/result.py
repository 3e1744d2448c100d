"""What measurements came to: as JSON, as CSV, and as a table."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.lab.check import Check, add_up
from bench.lab.machine import commit, machine

_FIGURES = (
    "due_rate",
    "rate",
    "seconds",
    "latency_ms",
    "late_ms",
    "cpu_us",
    "batch",
    "flushed_by",
    "commit_ms",
    "parked",
    "peak_rss_mib",
    "wal_bytes",
    "idle_cpu_percent",
    "idle_rss_mib",
    "hot_share",
)


@dataclass
class Measurement:
    """One run of one contestant. Figures are None, or left out, where they could not be measured.

    Attributes:
        contestant: its name.
        settings: its settings.
        workload: what was published.
        events: how many were published.
        rate: events per second, from the first batch's commit to the last one's.
        seconds: between those two.
        cpu_us: microseconds of CPU an event in that time, for ``workers``, ``supervisor``,
            ``broker`` and ``database``, and under a load for ``locust``; where just a connection
            is measured, for its ``client`` and its ``backend``.
        batch: of batches the ``count``, and of their sizes the ``median`` and ``mean``.
        flushed_by: how many batches were written for which reason.
        commit_ms: ``p50``, ``p95``, ``p99`` and ``max``.
        parked: events that had to wait for a row, and were applied afterwards.
        peak_rss_mib: the most that a worker held.
        wal_bytes: of write-ahead log an event.
        due_rate: events per second that were to be published.
        latency_ms: ``p50``, ``p95``, ``p99`` and ``max`` from when an event was due to the commit.
        late_ms: the same of how much later than due it was published, which is part of that.
        idle_cpu_percent: of a core, by the busiest worker while there was nothing to do.
        idle_rss_mib: the most that a worker held then.
        hot_share: of the updates of CDRs those that wrote no index.
        checks: what was compared; the measurement is void when anything differs, or nothing was.
    """

    contestant: str
    settings: dict[str, Any]
    workload: dict[str, Any]
    events: int
    rate: float | None = None
    seconds: float | None = None
    cpu_us: dict[str, float] = field(default_factory=dict)
    batch: dict[str, float] = field(default_factory=dict)
    flushed_by: dict[str, int] = field(default_factory=dict)
    commit_ms: dict[str, float] = field(default_factory=dict)
    parked: int = 0
    peak_rss_mib: float | None = None
    wal_bytes: int | None = None
    due_rate: float | None = None
    latency_ms: dict[str, float] = field(default_factory=dict)
    late_ms: dict[str, float] = field(default_factory=dict)
    idle_cpu_percent: float | None = None
    idle_rss_mib: float | None = None
    hot_share: float | None = None
    checks: list[Check] = field(default_factory=list)

    @property
    def is_void(self) -> bool:
        """Whether anything is not as it must be, or nothing was compared."""
        return not add_up(self.checks)

    def figures(self) -> dict[str, float]:
        """Return the figures by name, such as ``cpu_us.workers``, as far as they were measured."""
        found = flatten({name: getattr(self, name) for name in _FIGURES})
        return {name: value for name, value in found.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """Return it as it is written."""
        return {"void": self.is_void, **asdict(self)}


@dataclass
class Result:
    """What a command came to.

    Attributes:
        command: its name.
        measurements: in the order in which they were made.
        place: what they were made on.
    """

    command: str
    measurements: list[Measurement] = field(default_factory=list)
    place: dict[str, Any] = field(default_factory=dict)

    @property
    def is_void(self) -> bool:
        """Whether any measurement is void, or there is none."""
        return not self.measurements or any(each.is_void for each in self.measurements)

    def write(self, path: Path) -> None:
        """Write JSON there, and the measurements as CSV beside it. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.content(), indent=2, default=str) + "\n")
        write_csv(path.with_suffix(".csv"), self.measurements)

    def content(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "command": self.command,
            "void": self.is_void,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "machine": machine(),
            "place": self.place,
            "summary": self.summary(),
            "measurements": [measurement.to_json() for measurement in self.measurements],
        }

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the median and the spread of each figure, by contestant."""
        return {
            name: summarise([m for m in self.measurements if m.contestant == name])
            for name in dict.fromkeys(m.contestant for m in self.measurements)
        }

    def show(self, console: Console) -> None:
        """Print figures, and what differs."""
        settings = {each.contestant: each.settings for each in self.measurements}
        for name, figures in self.summary().items():
            title = ", ".join([name, *_told(settings[name])])
            console.print(_figures_table(title, figures, len(self.measurements)))
        show_checks(console, self.measurements)


def summarise(measurements: Sequence[Measurement]) -> dict[str, dict[str, float]]:
    """Return of each figure the ``median``, ``min`` and ``max`` of several runs."""
    runs = [measurement.figures() for measurement in measurements]
    names = dict.fromkeys(name for run in runs for name in run)
    values = {name: list(_values(name, runs)) for name in names}
    return {
        name: {"median": median(found), "min": min(found), "max": max(found)}
        for name, found in values.items()
    }


def _values(name: str, runs: Sequence[Mapping[str, float]]) -> Iterator[float]:
    for run in runs:
        if name in run:
            yield run[name]
        elif name.startswith("flushed_by."):  # what did not happen is not named
            yield 0


def write_csv(path: Path, measurements: Sequence[Measurement]) -> None:
    """Write a row for each measurement. Raises OSError."""
    rows = [dict(_row(measurement)) for measurement in measurements]
    columns = dict.fromkeys(name for row in rows for name in row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)


def show_checks(console: Console, measurements: Sequence[Measurement]) -> None:
    """Print whether everything adds up, and what does not."""
    for measurement in measurements:
        for check in measurement.checks:
            for text in check.differences:
                console.print(f"{check.what}: {text}", style="red", markup=False, soft_wrap=True)
            if check.different > len(check.differences):
                more = check.different - len(check.differences)
                console.print(f"{check.what}: … and {more:,} more", style="red")
    void = sum(measurement.is_void for measurement in measurements)
    if not measurements:
        console.print("VOID: nothing was measured", style="bold red")
    elif void:
        console.print(f"VOID: {void} of {len(measurements)} runs do not add up", style="bold red")
    else:
        console.print("every event is accounted for, once", style="bold green")


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a mapping without others in it: their names are joined by a dot."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def label(figure: str) -> str:
    """Return a figure's name as it is shown."""
    return _LABELS.get(figure, figure)


def _row(measurement: Measurement) -> Iterator[tuple[str, Any]]:
    yield "contestant", measurement.contestant
    yield "void", measurement.is_void
    yield from flatten({"settings": measurement.settings, "workload": measurement.workload}).items()
    yield from measurement.figures().items()


def _told(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        shown = ("off", "on")[value] if isinstance(value, bool) else value
        yield f"{name.replace('_', ' ')} {shown}"


def _figures_table(title: str, figures: Mapping[str, Mapping[str, float]], runs: int) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    columns = ("median", "min", "max") if runs > 1 else ("median",)
    for column in columns:
        table.add_column(column if runs > 1 else "", justify="right")
    for name, spread in figures.items():
        table.add_row(label(name), *(f"{spread[column]:,.6g}" for column in columns))
    return table


_LABELS = {
    "due_rate": "events/s that were due",
    "rate": "events/s",
    "seconds": "seconds",
    "latency_ms.p50": "publish to commit ms, p50",
    "latency_ms.p95": "publish to commit ms, p95",
    "latency_ms.p99": "publish to commit ms, p99",
    "latency_ms.max": "publish to commit ms, max",
    "late_ms.p50": "of which sent late ms, p50",
    "late_ms.p95": "of which sent late ms, p95",
    "late_ms.p99": "of which sent late ms, p99",
    "late_ms.max": "of which sent late ms, max",
    "cpu_us.workers": "CPU µs an event, workers",
    "cpu_us.supervisor": "CPU µs an event, supervisor",
    "cpu_us.broker": "CPU µs an event, broker",
    "cpu_us.database": "CPU µs an event, database",
    "cpu_us.locust": "CPU µs an event, locust",
    "cpu_us.client": "CPU µs an event, client",
    "cpu_us.backend": "CPU µs an event, backend",
    "batch.count": "batches",
    "batch.median": "events in a batch, median",
    "batch.mean": "events in a batch, mean",
    "flushed_by.size": "batches flushed by size",
    "flushed_by.age": "batches flushed by age",
    "flushed_by.drain": "batches flushed by drain",
    "commit_ms.p50": "commit ms, p50",
    "commit_ms.p95": "commit ms, p95",
    "commit_ms.p99": "commit ms, p99",
    "commit_ms.max": "commit ms, max",
    "parked": "events parked meanwhile",
    "peak_rss_mib": "peak RSS of a worker, MiB",
    "wal_bytes": "WAL bytes an event",
    "idle_cpu_percent": "CPU % of the busiest idle worker",
    "idle_rss_mib": "RSS of an idle worker, MiB",
    "hot_share": "share of HOT updates",
}
