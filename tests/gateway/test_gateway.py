"""A real Jasmin between an HTTP and an SMPP client, an operator, and the service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.stack.jasmin_environment import find_python

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(find_python() is None, reason="Jasmin needs Python 3.11, which is not here")
@pytest.mark.timeout(600)
def test_all_that_jasmin_published_is_settled_although_it_and_the_service_are_killed(
    tmp_path: Path,
) -> None:
    code, result = run_gateway(tmp_path, "--messages", "240", "--split", "sar")
    assert result["problems"] == []
    assert differing(result) == set()
    assert code == 0
    assert result["messages"] == 241  # and the one that is followed
    assert result["answers_published"] > 200
    assert result["receipts_published"] > 150
    assert result["bills_published"] > 150
    assert "since Jasmin was killed" in {check["what"].split(":")[0] for check in result["checks"]}


@pytest.mark.skipif(find_python() is None, reason="Jasmin needs Python 3.11, which is not here")
@pytest.mark.timeout(600)
def test_without_a_gateway_every_cdr_is_made_of_what_jasmin_queued(tmp_path: Path) -> None:
    code, result = run_gateway(tmp_path, "--capture", "--messages", "64", "--no-kill")
    assert result["problems"] == []
    assert differing(result) == set()
    assert code == 0
    assert result["queued_and_not_answered"] == 3
    assert result["messages"] == 65 + 3
    captured = [check for check in result["checks"] if check["what"].startswith("captured: ")]
    assert len(captured) == 3
    assert all(check["compared"] >= 65 for check in captured)


def run_gateway(directory: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run it to its end; return its exit code and what it wrote."""
    output = directory / "gateway.json"
    command = [sys.executable, "-m", "bench.gateway", "--output", str(output), *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False)
    assert output.exists(), "it failed before it had anything to compare"
    return done.returncode, json.loads(output.read_text())


def differing(result: dict[str, Any]) -> set[str]:
    """Return which checks found a difference."""
    return {check["what"] for check in result["checks"] if check["different"]}
