"""Servers for one run, in a directory that goes with them."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from bench import PROJECT
from bench.stack import PostgreSQL, Stack


class Servers(Protocol):
    """Servers that are started and stopped together."""

    postgres: PostgreSQL

    def start(self, report: Callable[[str], None]) -> None:
        """Start them all, or none. Raises StackError."""

    def stop(self) -> None:
        """Stop those that are up."""


S = TypeVar("S", bound=Servers)


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

    def make(place: Path) -> Stack:
        return Stack(place, postgres=postgres)

    with temporary_servers(name, directory, report, make, keep=keep) as made:
        yield made


@contextmanager
def temporary_servers(
    name: str,
    directory: Path | None,
    report: Callable[[str], None],
    make: Callable[[Path], S],
    *,
    keep: bool = False,
) -> Iterator[tuple[S, Path]]:
    """Do the same with servers that ``make`` makes in a directory.

    Raises:
        StackError: they cannot be installed or started.
    """
    base = directory or PROJECT / ".stack"
    base.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))
    place.chmod(0o755)  # PostgreSQL runs as another user where we are root
    servers = make(place)
    try:
        servers.start(report)
        yield servers, place
    finally:
        servers.stop()
        if keep:
            report(f"kept: {place} and {servers.postgres.directory}")
        else:
            shutil.rmtree(servers.postgres.directory, ignore_errors=True)
            shutil.rmtree(place, ignore_errors=True)
