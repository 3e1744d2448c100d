"""Jasmin's own virtual environment: it needs libraries that are years older than ours."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import PROJECT
from bench.stack.errors import StackError

_LOCK_FILE: Final = Path(__file__).with_name("jasmin.lock")
_DIRECTORY: Final = PROJECT / ".stack" / "jasmin-environment"
_READY: Final = _DIRECTORY / "ready"
_OUTPUT_LINES: Final = 20
# Jasmin 0.10 and the Twisted of its time were made for these.
_NEWEST_PYTHON: Final = (3, 11)
# Most of the packages are built here, by a setuptools of their time.
_SETUPTOOLS: Final = "setuptools<80"


def ensure_jasmin(report: Callable[[str], None]) -> Path:
    """Build the environment from its lock file, unless it is there; return its Python.

    `report` is given one line when there is something to do, which takes a minute or less.

    Raises:
        StackError: it cannot be built, or there is no Python old enough.
    """
    base = find_python()
    if base is None:
        raise StackError("Jasmin 0.10 needs Python 3.11, and there is no python3.11 on PATH")
    _DIRECTORY.parent.mkdir(exist_ok=True)
    python = _DIRECTORY / "bin" / "python"
    wanted = hashlib.sha256(_LOCK_FILE.read_bytes() + base.encode()).hexdigest()
    # One at a time, as tests in several processes would all begin with it.
    with _DIRECTORY.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _READY.exists() or _READY.read_text() != wanted:
            report("installing Jasmin from PyPI, this can take a minute")
            _build(base, python)
            _READY.write_text(wanted)
    return python


def find_python() -> str | None:
    """Return the path of a Python that Jasmin runs on: this one, unless it is too new."""
    if sys.version_info[:2] <= _NEWEST_PYTHON:
        return sys.executable
    return shutil.which("python{}.{}".format(*_NEWEST_PYTHON))


def amqp_specification() -> Path:
    """The description of AMQP 0-9-1 that Jasmin's client reads; StackError when it is not there."""
    specifications = "lib/python*/site-packages/txamqp/specs/standard/amqp0-9-1.stripped.xml"
    for found in _DIRECTORY.glob(specifications):
        return found
    raise StackError(f"{_DIRECTORY} has no {specifications}; remove it to have it built again")


def _build(base: str, python: Path) -> None:
    constraints = _DIRECTORY.with_suffix(".constraints")
    constraints.write_text(f"{_SETUPTOOLS}\n")
    _uv("venv", "--clear", "--python", base, str(_DIRECTORY))
    arguments = ["--require-hashes", "--build-constraints", str(constraints)]
    _uv("pip", "install", "--python", str(python), *arguments, "--requirement", str(_LOCK_FILE))


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        lines = "\n".join(done.stdout.splitlines()[-_OUTPUT_LINES:])
        raise StackError(f"Jasmin cannot be installed: uv {arguments[0]} failed:\n{lines}")
