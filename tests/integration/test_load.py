"""A short load end to end, and a database that cannot tell when it committed."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench.lab.contestant import service, settings_of
from bench.lab.database import Unusable
from bench.lab.given import given_place
from bench.lab.load import load
from bench.lab.screen import Screen
from bench.lab.traffic import Traffic
from bench.lab.workload import Workload
from bench.stack import Stack
from tests.integration.conftest import ROOT

RATE, SECONDS = 1000, 3


def test_the_latency_of_every_event_is_measured(tmp_path: Path) -> None:
    output = tmp_path / "load.json"
    command = [sys.executable, "-m", "bench", "load", "--kind", "native", "--rate", str(RATE)]
    command += ["--seconds", str(SECONDS), "--cdrs", "4000", "--workers", "2", "--flush-ms", "20"]
    done = subprocess.run(
        [*command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every event is accounted for, once" in done.stdout
    content = json.loads(output.read_text())
    (measurement,) = content["measurements"]
    assert measurement["events"] == RATE * SECONDS
    times = {check["what"]: check for check in measurement["checks"]}[
        "commits whose time was found"
    ]
    assert (times["compared"], times["different"]) == (RATE * SECONDS, 0)
    latency = measurement["latency_ms"]
    assert 1 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"] < 60_000
    assert 0 <= measurement["late_ms"]["p50"] <= latency["p50"]
    assert measurement["seconds"] > SECONDS / 2
    assert 0 <= measurement["idle_cpu_percent"] < 50
    assert measurement["idle_rss_mib"] > 10
    (row,) = csv.DictReader(output.with_suffix(".csv").open())
    assert float(row["latency_ms.p99"]) == latency["p99"]
    assert "publish to commit" in output.with_suffix(".html").read_text()  # locust has counted it


async def test_says_what_a_given_database_needs(
    stack: Stack, vhost: str, empty_database: str
) -> None:
    urls = stack.rabbitmq.url(vhost), stack.postgres.dsn(empty_database)
    workload = Workload(events=10, cdrs=10, accounts=1)
    async with given_place(*urls, "quorum", Screen(Console(quiet=True))) as place:
        contestant = service(place, workload, settings_of(workload), workers=1)
        with pytest.raises(Unusable, match="track_commit_timestamp = on"):
            await load(place, Traffic(workload, 10), contestant)
