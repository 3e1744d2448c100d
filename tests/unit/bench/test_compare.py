from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.__main__ import app
from bench.compare.verdict import Change, Verdict
from bench.lab.check import Check
from bench.lab.result import Measurement, Result

SAME, WORSE, BETTER = 0, 1, 0
INCOMPARABLE = 2


def result(
    rates: Sequence[float],
    *,
    command: str = "drain",
    contestant: str = "billing-service",
    cpu_us: float = 8.0,
    events: int = 1000,
    is_void: bool = False,
    **settings: Any,
) -> Result:
    measurements = [
        Measurement(
            contestant,
            settings,
            {"kind": "json", "events": events},
            events=events,
            rate=rate,
            cpu_us={"workers": cpu_us},
            checks=[Check("CDRs", compared=events, different=int(is_void))],
        )
        for rate in rates
    ]
    return Result(command, measurements, {"broker": "RabbitMQ 4"})


class Files:
    """Compares results as the command does."""

    def __init__(self, directory: Path) -> None:
        self._paths = [directory / "a.json", directory / "b.json"]
        self.text = ""

    def compare(self, *results: Result) -> int:
        for path, each in zip(self._paths, results, strict=True):
            each.write(path)
        return self.run()

    def change(self, **content: Any) -> None:
        """Change the second file."""
        written = json.loads(self._paths[1].read_text())
        self._paths[1].write_text(json.dumps(written | content))

    def run(self) -> int:
        ran = CliRunner().invoke(app, ["compare", *map(str, self._paths)], env={"COLUMNS": "160"})
        self.text = ran.output
        return ran.exit_code


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("figure", "before", "after", "verdict"),
    [
        ("rate", [100, 101, 102], [90, 91, 92], Verdict.WORSE),
        ("rate", [90, 91, 92], [100, 101, 102], Verdict.BETTER),
        ("rate", [100, 101, 102], [98, 98, 99], Verdict.SAME),  # apart, but not by 3 %
        ("rate", [100, 110, 120], [80, 90, 101], Verdict.SAME),  # by 20 %, but not apart
        ("rate", [100], [91], Verdict.SAME),  # who knows the noise
        ("rate", [100, 100], [89, 89], Verdict.WORSE),
        ("cpu_us.workers", [8, 8, 8.1], [9, 9, 9.1], Verdict.WORSE),
        ("cpu_us.workers", [9, 9, 9.1], [8, 8, 8.1], Verdict.BETTER),
        ("latency_ms.p99", [100, 100, 100], [150, 150, 150], Verdict.WORSE),
        ("commit_ms.p99", [10, 10, 10], [90, 90, 90], Verdict.NONE),  # larger batches take longer
        ("cpu_us.database", [0, 0, 0], [9, 9, 9], Verdict.NONE),
    ],
)
def test_verdict(figure: str, before: list[float], after: list[float], verdict: Verdict) -> None:
    assert Change(figure, before, after).verdict is verdict


def test_noise_is_how_far_runs_are_off_their_median() -> None:
    assert Change("rate", [90, 100, 105], [200, 200, 210]).noise == pytest.approx(0.1)
    assert Change("rate", [100, 100], [200, 200, 210]).noise is None


def test_the_exit_code_says_whether_b_is_worse(files: Files) -> None:
    assert files.compare(result([100, 101, 102]), result([100, 102, 103])) == SAME
    assert "no worse" in files.text
    assert files.compare(result([100, 101, 102]), result([80, 81, 82])) == WORSE
    assert "-19.8%" in files.text
    assert files.compare(result([80, 81, 82]), result([100, 101, 102])) == BETTER
    assert files.compare(result([100] * 3), result([100] * 3, cpu_us=9.0)) == WORSE


def test_who_else_has_become_slower_is_for_information(files: Files) -> None:
    slower = [result([rate] * 3, command="peers", contestant="aio-pika") for rate in (100, 50)]
    assert files.compare(*slower) == SAME
    assert "worse" in files.text


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (result([100], command="peers"), "other commands: drain, peers"),
        (result([100], events=2000), "other workload: events 1000 and 2000"),
        (result([100], is_void=True), "void"),
        (result([100], contestant="someone"), "no contestant in common"),
        (result([]), "no measurement"),
    ],
)
def test_what_cannot_be_compared(files: Files, second: Result, reason: str) -> None:
    assert files.compare(result([100]), second) == INCOMPARABLE
    assert reason in files.text


def test_files_that_are_no_results(files: Files, tmp_path: Path) -> None:
    assert files.run() == INCOMPARABLE
    assert "cannot be read" in files.text
    (tmp_path / "a.json").write_text('{"scenario": "run"}')
    assert files.run() == INCOMPARABLE
    assert "not what a measuring command" in files.text


def test_another_machine_and_other_settings_are_told(files: Files) -> None:
    before = result([100] * 3, batch_size=1000)
    assert files.compare(before, result([100] * 3, batch_size=500)) == SAME
    assert "batch_size 1000, then 500" in files.text
    files.change(machine={"cpu": "Abacus"})
    assert files.run() == SAME
    assert "then Abacus" in files.text


def test_few_runs_are_told(files: Files) -> None:
    assert files.compare(result([100]), result([95])) == SAME
    assert "fewer than 3 runs" in files.text
    assert files.compare(result([100]), result([85])) == WORSE


def test_cells_that_were_tried_once_do_not_count_beside_those_tried_often(files: Files) -> None:
    def tuned(once: float) -> Result:
        often = result([100] * 3, command="tune", contestant="billing-service-b1000")
        rarely = result([once], command="tune", contestant="billing-service-b10")
        return Result("tune", often.measurements + rarely.measurements)

    assert files.compare(tuned(100), tuned(50)) == SAME
    assert "b10," not in files.text
