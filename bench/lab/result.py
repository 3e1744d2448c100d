"""What a measurement came to: for JSON, CSV and a table."""

from dataclasses import dataclass, field
from typing import Any

from bench.lab.check import Check


@dataclass
class Measurement:
    """One run of one contestant. Figures are None where they could not be measured.

    Attributes:
        contestant: its name.
        settings: its settings.
        workload: what was published.
        events: how many were published.
        rate: events per second, from the first batch's commit to the last one's.
        seconds: between those two.
        cpu_us: microseconds of CPU an event in that time, for ``workers``, ``supervisor``,
            ``broker`` and ``database``.
        batch: sizes of batches: ``count``, ``median``, ``mean``.
        flushed_by: how many batches were written for which reason.
        commit_ms: ``p50``, ``p95``, ``p99`` and ``max``.
        peak_rss_mib: the most that a worker held.
        wal_bytes: of write-ahead log an event.
        checks: what was compared; the measurement is void when anything differs.
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
    peak_rss_mib: float | None = None
    wal_bytes: float | None = None
    checks: list[Check] = field(default_factory=list)

    @property
    def is_void(self) -> bool:
        """Whether anything is not as it must be."""
        return any(check.different for check in self.checks)
