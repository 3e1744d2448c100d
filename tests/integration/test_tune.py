"""Tiny tunings: from the command line, and with latencies that are measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.lab import load as loads
from bench.lab.command import RECEIPT_LOG
from bench.lab.own import own_place
from bench.lab.screen import Screen
from bench.lab.workload import Workload
from bench.stack import Stack
from bench.tune import search
from bench.tune.cell import Cell, admit
from bench.tune.search import Budget, Search
from bench.tune.tuning import Tuning
from tests.integration.conftest import ROOT

EVENTS = 3000


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_two_cells_are_told_apart_and_one_is_refused(
    stack: Stack, vhost: str, empty_database: str, tmp_path: Path
) -> None:
    output, report = tmp_path / "tune.json", tmp_path / "report.html"
    urls = ["--amqp-url", stack.rabbitmq.url(vhost)]
    urls += ["--database-url", stack.postgres.dsn(empty_database)]
    axes = ["--batch-sizes", "5,500,4000", "--prefetch", "1000", "--workers", "1"]
    axes += ["--flush-ms", "20", "--p99", "10s", "--repeats", "1"]
    size = ["--events", str(EVENTS), "--cdrs", "4000", "--minutes", "1"]
    files = ["--output", str(output), "--report", str(report)]
    done = bench("tune", *axes, *size, *urls, *files)
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ("left out: 1 cell: prefetch", "derived, not measured", "[dlr]", "accounted for"):
        assert text in done.stdout
    result = json.loads(output.read_text())
    rates = {batch_size(each): each["rate"] for each in result["measurements"]}
    assert rates.keys() == {5, 500}
    assert rates[5] < rates[500]
    recommended = result["recommendation"]["settings"]
    assert recommended == {"batch_size": 500, "prefetch": 1000, "workers": 1, "flush_ms": 20}
    assert "batch_size = 500" in report.read_text()
    assert bench("compare", str(output), str(output)).returncode == 0


async def test_latencies_of_finalists_are_measured_where_the_database_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "_CALM_SECONDS", 0.1)
    monkeypatch.setattr(loads, "_IDLE_SECONDS", 0.1)
    monkeypatch.setattr(search, "_PACED_ROUNDS", 1)
    workload = Workload(events=EVENTS, cdrs=4000)
    cells = [Cell(100, 1000, 1, 20), Cell(500, 1000, 1, 20)]
    others = {"queue_type": "quorum", "receipt_log": RECEIPT_LOG}
    admitted = admit(cells, workload, 250, **others).admitted
    tuning = Tuning("tune", workload=workload, others=others, goal_ms=250)
    budget = Budget(minutes=1, rounds=1, paced_seconds=1)
    async with own_place(tmp_path, "quorum", Screen(Console(quiet=True))) as place:
        await Search(place, tuning, admitted, budget).run()
    assert not tuning.is_void
    for standing in tuning.standings():
        assert standing.events == EVENTS
        assert standing.paced_p99_ms is not None
        assert standing.paced_p99_ms > 1
    rates = {measurement.due_rate for measurement in tuning.measurements} - {None}
    assert len(rates) == 1  # the same for all, so that they compare


def batch_size(measurement: Mapping[str, Any]) -> int:
    size: int = measurement["settings"]["batch_size"]
    return size
