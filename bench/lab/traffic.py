"""Locust as a child process: what it is told, and what it reports."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bench import PROJECT
from bench.lab.place import Place
from bench.lab.workload import Workload
from bench.stack.program import Program

_LOCUSTFILE: Final = PROJECT / "bench" / "locustfile.py"
_LOOPBACK: Final = "127.0.0.1"


class Report(msgspec.Struct):
    """What was published, and how long it took.

    Attributes:
        published: events that the broker has confirmed.
        measured: those whose commit was found.
        latency_ms: ``p50``, ``p95``, ``p99`` and ``max`` from when an event was due to its commit.
        late_ms: the same of how much later than due it was published.
    """

    published: int
    measured: int
    latency_ms: dict[str, float]
    late_ms: dict[str, float]


@dataclass(frozen=True)
class Traffic:
    """What is published, and how fast.

    Attributes:
        workload: what.
        rate: events per second.
    """

    workload: Workload
    rate: float


class Locust(Program):
    """Publishes traffic and measures latencies, then ends.

    Args:
        place: where.
        traffic: what, and how fast.
        web_port: of its page on the loopback, None for no page.
    """

    def __init__(self, place: Place, traffic: Traffic, web_port: int | None) -> None:
        self._report = place.directory / "locust.json"
        self._page = place.directory / "locust.html"
        self._report.unlink(missing_ok=True)  # of the run before
        super().__init__(
            "locust",
            _command(traffic, web_port, self._report, self._page),
            # Not as arguments, which everyone on the machine can read.
            {"LOAD_AMQP_URL": place.amqp_url, "LOAD_DATABASE_URL": place.database.dsn},
            place.directory / "locust.log",
        )

    def report(self) -> Report:
        """Return what it came to, once it has ended."""
        return msgspec.json.decode(self._report.read_bytes(), type=Report)

    def page(self) -> str:
        """Return locust's own report as HTML, once it has ended."""
        return self._page.read_text()


def _command(traffic: Traffic, web_port: int | None, report: Path, page: Path) -> list[str]:
    workload = traffic.workload
    options = {
        "locustfile": _LOCUSTFILE,
        "kind": workload.kind,
        "events": workload.events,
        "cdrs": workload.cdrs,
        "seed": workload.seed,
        "event-rate": traffic.rate,
        "report": report,
        "html": page,
        # Rather than tables at the end of the log, where it says why it failed.
        "json-file": report.with_name("locust-statistics.json"),
    }
    mode = ["--headless", "--only-summary"]
    if web_port is not None:
        mode = ["--autostart", "--autoquit=0", f"--web-host={_LOOPBACK}"]
        mode.append(f"--web-port={web_port}")
    told = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "locust", *told, *mode]
