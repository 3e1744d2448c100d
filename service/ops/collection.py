"""The metrics of all processes, from the files in which each keeps its own.

prometheus_client makes these files in the run's directory. Here they are added up, and those of
the dead are folded into one of each kind: no counter goes back when a worker dies, and a thousand
of them take no more room, nor time to read, than one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric, generate_latest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service import run_directory


class Processes:
    """What all processes count and have counted; a collector to prometheus_client."""

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of all processes, added up."""
        metrics: Iterable[Metric] = MultiProcessCollector.merge(_files("*.db"))
        return metrics


def render() -> bytes:
    """Return them in Prometheus' text format."""
    return generate_latest(Processes())


def bury(pid: int) -> None:
    """Drop a dead process's gauges that tell of the living; what it has counted stays."""
    mark_process_dead(pid)
    for file in _files(f"*_{pid}.db"):
        kind = file.name.removesuffix(f"_{pid}.db")
        _fold(file, file.with_name(f"{kind}_dead.db"), newest=kind.startswith("gauge"))
        file.unlink()


def _files(pattern: str) -> list[Path]:
    """Return the files that hold anything.

    One is empty for a moment after it was made, and for ever if its process was killed just then.
    """
    return [file for file in run_directory.path().glob(pattern) if file.stat().st_size]


def _fold(file: Path, into: Path, *, newest: bool) -> None:
    """Add the values of a file to those of another, or let the newest of each count."""
    total = MmapedDict(str(into))
    for key, value, at, _ in MmapedDict.read_all_values_from_file(file):
        kept, kept_at = total.read_value(key)
        if not newest:
            total.write_value(key, kept + value, 0.0)
        elif at > kept_at:
            total.write_value(key, value, at)
    total.close()
