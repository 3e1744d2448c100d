"""Servers for one run, in a directory that goes with them."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench import PROJECT
from bench.stack import Stack


@contextmanager
def temporary_stack(
    name: str,
    directory: Path | None,
    report: Callable[[str], None],
    *,
    postgres: Mapping[str, str] | None = None,
    keep: bool = False,
) -> Iterator[tuple[Stack, Path]]:
    """Start both servers in a directory of their own; leave nothing of it unless told to keep it.

    Args:
        name: what the directory's name begins with.
        directory: where it is made; by default in the project's ``.stack``.
        report: is given one line for each step that takes long.
        postgres: lines of postgresql.conf, besides those that every private server has.
        keep: leave servers' data and logs there.

    Yields:
        The servers and their directory, in which there is room for other files.

    Raises:
        StackError: they cannot be installed or started.
    """
    base = directory or PROJECT / ".stack"
    base.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))
    place.chmod(0o755)  # PostgreSQL runs as another user where we are root
    stack = Stack(place, postgres=postgres)
    try:
        stack.start(report)
        yield stack, place
    finally:
        stack.stop()
        if keep:
            report(f"kept: {place} and {stack.postgres.directory}")
        else:
            shutil.rmtree(stack.postgres.directory, ignore_errors=True)
            shutil.rmtree(place, ignore_errors=True)
