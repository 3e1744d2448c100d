"""A Jasmin for locust: publishes events on a fixed schedule, and measures publish to commit.

``python -m bench load`` prepares servers, tables and service, and starts it. By hand it needs a
service that runs, its queue, and tables that ``bench.lab.rows`` has loaded:
``locust -f bench/locustfile.py --amqp-url … --database-url … --event-rate 5000``.

The latency of an event counts from when it was due, however late it was sent, to the commit of the
transaction that wrote its CDR, as PostgreSQL tells it.
"""

import time
from argparse import Namespace
from collections.abc import Iterator
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import gevent
import msgspec
from locust import LoadTestShape, User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import STATE_RUNNING

from bench.formats import Publication
from bench.lab.commits import Commits
from bench.lab.expectation import initial_status
from bench.lab.figures import percentiles
from bench.lab.latencies import Latencies
from bench.lab.messages import publication
from bench.lab.schedule import Schedule
from bench.lab.sender import Sender
from bench.lab.traffic import Report
from bench.lab.wire import Wire
from bench.lab.workload import Kind, Workload

_STEP_SECONDS: Final = 0.001
_LOOK_SECONDS: Final = 0.25
# Without a commit; what is missing then, the report tells.
_STALL_SECONDS: Final = 60.0
_SAMPLE: Final = 1000


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Add what is published, and where."""
    where: dict[str, Any] = {"required": True, "include_in_web_ui": False}
    parser.add_argument("--amqp-url", env_var="LOAD_AMQP_URL", help="The virtual host.", **where)
    parser.add_argument(
        "--database-url", env_var="LOAD_DATABASE_URL", help="The tables, for psycopg.", **where
    )
    parser.add_argument("--event-rate", type=float, default=1000.0, help="Events a second.")
    what: dict[str, Any] = {"include_in_web_ui": False}
    parser.add_argument("--kind", type=Kind, default=Kind.JSON, help="json or native.", **what)
    parser.add_argument("--events", type=int, default=300_000, help="Events at most.", **what)
    parser.add_argument("--cdrs", type=int, default=1_000_000, help="CDRs that there are.", **what)
    parser.add_argument("--seed", type=int, default=1, help="That CDRs and events have.", **what)
    parser.add_argument("--report", type=Path, help="JSON file for what it came to.", **what)


@events.init.add_listener
def configure(environment: Environment, **_: Any) -> None:
    """Let a failure end the run, and a run that is stopped measure what it has sent."""
    environment.catch_exceptions = False
    environment.stop_timeout = 2 * _STALL_SECONDS


class UntilMeasured(LoadTestShape):
    """One publisher, until it has ended by itself."""

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there must be, and how many start in a second; None at the end."""
        has_begun = self.runner is not None and self.runner.state == STATE_RUNNING
        return None if has_begun and not self.get_current_user_count() else (1, 1.0)


class Jasmin(User):
    """Publishes all events there are, and waits for their commits."""

    fixed_count = 1

    def on_start(self) -> None:
        """Connect. Raises OSError, psycopg.Error, Refused or Unusable."""
        options = self._options = self.environment.parsed_options or Namespace()
        workload = Workload(options.kind, options.events, options.cdrs, seed=options.seed)
        left = _left(workload)
        first = list(islice(left, _SAMPLE))
        self._commits = Commits(options.database_url, initial_status(workload))
        self._commits.must_await([message_id for message_id, _ in first])
        self._latencies = Latencies(self._commits.find, self._tell)
        self._wire = Wire(options.amqp_url, workload.source.queue)
        schedule = Schedule(time.time(), options.event_rate)
        self._sender = Sender(self._wire, schedule, chain(first, left), self._latencies)
        self._is_stopping = False
        self._watching = gevent.spawn(self._watch)

    def wait_time(self) -> float:
        """Return the seconds until something is to be published again."""
        return max(_STEP_SECONDS, self._sender.seconds_left)

    @task
    def publish(self) -> None:
        """Publish what is due."""
        if self._sender.is_done:
            raise StopUser
        self._sender.send_due()

    def on_stop(self) -> None:
        """Wait for confirms and commits of what was published, and report."""
        with self._wire:
            self._wire.wait()
        self._is_stopping = True
        self._watching.get()
        self._commits.close()
        if self._options.report is not None:
            report = Report(
                published=self._wire.confirmed,
                measured=len(self._latencies.measured),
                latency_ms=percentiles(self._latencies.measured),
                late_ms=percentiles(self._sender.late),
            )
            self._options.report.write_bytes(msgspec.json.encode(report))

    def _watch(self) -> None:
        """Look for commits until all are found, or no more are."""
        found_at, measured = time.monotonic(), 0
        while not self._is_stopping or (
            self._latencies.pending and time.monotonic() - found_at < _STALL_SECONDS
        ):
            gevent.sleep(_LOOK_SECONDS)
            self._latencies.look()
            if len(self._latencies.measured) > measured:
                found_at, measured = time.monotonic(), len(self._latencies.measured)

    def _tell(self, latency: float) -> None:
        self.environment.events.request.fire(
            request_type="AMQP",
            name="publish to commit",
            response_time=latency,
            response_length=0,
            exception=None,
            context={},
        )


@cache
def _left(workload: Workload) -> Iterator[tuple[str, Publication]]:
    """Return what has not been published yet, with message ids: a second run goes on with it."""
    return ((step.sms.message_id, publication(workload, step)) for step in workload.steps())
