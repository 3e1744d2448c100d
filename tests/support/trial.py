"""Runs one of the programs that break everything, and reads what it came to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import PROJECT


def run_trial(module: str, directory: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run a module to its end; return its exit code and what it wrote."""
    output = directory / "result.json"
    command = [sys.executable, "-m", module, *arguments, "--output", str(output)]
    done = subprocess.run(command, cwd=PROJECT, check=False)
    assert output.exists(), "it failed before it had anything to compare"
    return done.returncode, json.loads(output.read_text())


def differing(result: dict[str, Any]) -> set[str]:
    """Return which checks found a difference, by the first word of their names."""
    return {check["what"].split(":")[0] for check in result["checks"] if check["different"]}
