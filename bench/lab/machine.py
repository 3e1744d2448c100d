"""What figures were measured on."""

import os
import platform
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from bench import PROJECT

CORES: Final = len(os.sched_getaffinity(0))


def machine() -> dict[str, Any]:
    """Return the machine as far as it matters for figures."""
    return {
        "cores": CORES,
        "cpu": _cpu_model(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def commit() -> str | None:
    """Return the commit that is checked out, with a plus where files differ from it."""
    with suppress(OSError, subprocess.CalledProcessError):
        described = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.check_output(
            described, cwd=PROJECT, stderr=subprocess.DEVNULL, text=True
        ).strip()
    return None


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()
