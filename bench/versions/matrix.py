"""Which servers are tested together, and how a run of the tests on a pair of them went."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self
from xml.etree import ElementTree

from bench import PROJECT
from bench.versions.servers import Server

# What depends on how a server behaves.
TESTS: Final = tuple(
    f"tests/integration/test_{name}.py"
    for name in (
        "migrations",
        "roles",
        "connection",
        "contract",
        "capture",
        "money",
        "parking",
        "dead_letters",
        "refused_dead_letters",
        "dlq",
        "reconcile",
        "outages",
        "supervisor",
        "versions",
    )
)


class Pair(NamedTuple):
    """Servers by the names that `bench.versions.servers` knows them by."""

    rabbitmq: str
    postgresql: str


class Outcome(NamedTuple):
    """What came of the tests on one pair.

    Attributes:
        failed: the tests' names.
        seconds: how long it took.
    """

    passed: int
    failed: Sequence[str]
    skipped: int
    seconds: float

    @classmethod
    def read(cls, report: Path, seconds: float) -> Self:
        """Read what pytest has written.

        Raises:
            FileNotFoundError, ElementTree.ParseError: it has not come that far.
        """
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - written by pytest
        failed = [
            f"{case.get('classname')}::{case.get('name')}"
            for case in cases
            if case.find("failure") is not None or case.find("error") is not None
        ]
        skipped = sum(case.find("skipped") is not None for case in cases)
        return cls(len(cases) - len(failed) - skipped, failed, skipped, seconds)


def pairs(rabbitmqs: Sequence[str], postgresqls: Sequence[str]) -> list[Pair]:
    """Return every PostgreSQL with the first RabbitMQ, and the others with two of them at most.

    Those two are the first and the last of them: what one of the servers does seldom depends on
    the other.
    """
    first, *others = rabbitmqs
    few = list(dict.fromkeys((postgresqls[0], postgresqls[-1])))
    return [Pair(first, each) for each in postgresqls] + [
        Pair(other, each) for other in others for each in few
    ]


def run_tests(
    rabbitmq: Server, postgresql: Server, log: Path, processes: str, select: str
) -> Outcome:
    """Run the tests on a pair of servers; all that they print goes to `log`.

    Raises:
        RuntimeError: they did not come so far as to say anything.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place, log.open("w") as output:
        report = Path(place) / "report.xml"
        command = [sys.executable, "-m", "pytest", *TESTS, f"--numprocesses={processes}"]
        command += ["--dist=worksteal", f"--junit-xml={report}"]
        command += ["-k", select] if select else []
        variables = os.environ | rabbitmq.variables | postgresql.variables
        subprocess.run(
            command, cwd=PROJECT, env=variables, stdout=output, stderr=output, check=False
        )
        try:
            return Outcome.read(report, time.monotonic() - began)
        except (FileNotFoundError, ElementTree.ParseError):
            raise RuntimeError(f"pytest did not come to an end; see {log}") from None
