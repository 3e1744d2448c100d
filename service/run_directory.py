"""The directory of one run: what its processes have to tell each other by way of files.

prometheus_client looks for it in $PROMETHEUS_MULTIPROC_DIR when it is imported, in the supervisor
and in every worker.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX: Final = "billing-service-run-"

_held: list[IO[str]] = []


class NotWritable(Exception):
    """There is no place for it; the text says what to do."""


@contextmanager
def create() -> Iterator[Path]:
    """Make a directory for this run and name it in the environment; remove it at the end.

    What was left by runs that were killed is removed first.

    Raises:
        NotWritable: none can be made.
    """
    try:
        _remove_leftovers()
        directory = _make()
    except OSError as error:
        raise NotWritable(
            f"no directory for temporary files, where the metrics are kept: {error.strerror}; set "
            "TMPDIR to one that can be written and has room"
        ) from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def restore() -> None:
    """Make it again where somebody who tidies up has removed it: no worker starts without."""
    path().mkdir(mode=0o700, exist_ok=True)


def hold() -> None:
    """Keep this run's directory from being taken for a leftover while this process lives."""
    _hold(path() / "lock")


def path() -> Path:
    """Return this run's directory."""
    return Path(os.environ[VARIABLE])


def _make() -> Path:
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    os.environ[VARIABLE] = str(directory)
    # Its name appears when it is locked already: there is no moment for others to take it in.
    _hold(directory / "lock.new")
    (directory / "lock.new").rename(directory / "lock")
    return directory


def _hold(lock: Path) -> None:
    _held.append(lock.open("a"))
    fcntl.flock(_held[-1], fcntl.LOCK_SH)


def _remove_leftovers() -> None:
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), (directory / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory)
