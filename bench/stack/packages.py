"""The packages of the distribution whose programs are run, and where those are on this machine.

Other releases are run where the environment says so: STACK_POSTGRES_BINDIR is the directory of
PostgreSQL's programs, STACK_RABBITMQ_PREFIX is put before every command of RabbitMQ's.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bench.stack.errors import StackError


class Package(NamedTuple):
    """A package, the programs that are wanted of it, and the directories where they may be."""

    name: str
    programs: tuple[str, ...]
    places: Callable[[], Iterator[Path]]

    def find(self) -> Path | None:
        """Return the first directory that has all of its programs; None if there is none."""
        for place in self.places():
            if all(os.access(place / program, os.X_OK) for program in self.programs):
                return place
        return None

    def bindir(self) -> Path:
        """Return that directory. Raises StackError: the package is not installed."""
        if (found := self.find()) is None:
            raise StackError(instruction(self))
        return found


def instruction(*packages: Package) -> str:
    """Return what to tell someone who is to install them."""
    names = [package.name for package in packages]
    return f"not installed here: {', '.join(names)}. Run: apt-get install {' '.join(names)}"


def rabbitmq_prefix() -> list[str]:
    """Return what to put before a command of RabbitMQ's or Erlang's to run it."""
    return shlex.split(os.environ.get("STACK_RABBITMQ_PREFIX", ""))


def psql() -> Path:
    """Return `psql`, of the newest PostgreSQL here. Raises StackError: there is none."""
    return POSTGRES._replace(places=_installed_postgres).bindir() / "psql"


def _in(place: str, program: str) -> Callable[[], Iterator[Path]]:
    """Look in a directory, and then where a program is on PATH."""

    def places() -> Iterator[Path]:
        yield Path(place)
        yield from _on_path(program)

    return places


def _on_path(program: str) -> Iterator[Path]:
    if found := shutil.which(program):
        yield Path(found).resolve().parent


def _postgres() -> Iterator[Path]:
    if chosen := os.environ.get("STACK_POSTGRES_BINDIR"):
        yield Path(chosen)
    else:
        yield from _installed_postgres()


def _installed_postgres() -> Iterator[Path]:
    versions = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(versions, key=lambda path: float(path.parent.name), reverse=True)
    if pg_config := shutil.which("pg_config"):
        asked = subprocess.run([pg_config, "--bindir"], check=False, capture_output=True, text=True)
        yield Path(asked.stdout.strip())
    yield from _on_path("postgres")


# Debian's /usr/sbin has wrappers that insist on the user `rabbitmq` and on the system's
# directories; they are links to a file that stands next to the real scripts.
RABBITMQ: Final = Package(
    "rabbitmq-server",
    ("rabbitmq-server", "rabbitmqctl"),
    _in("/usr/lib/rabbitmq/bin", "rabbitmq-server"),
)
POSTGRES: Final = Package("postgresql", ("postgres", "initdb"), _postgres)
PGBOUNCER: Final = Package("pgbouncer", ("pgbouncer",), _in("/usr/sbin", "pgbouncer"))
PROMETHEUS: Final = Package("prometheus", ("prometheus", "promtool"), _in("/usr/bin", "promtool"))
REDIS: Final = Package("redis-server", ("redis-server",), _in("/usr/bin", "redis-server"))
NPM: Final = Package("npm", ("npm",), _in("/usr/bin", "npm"))
DEBOOTSTRAP: Final = Package("debootstrap", ("debootstrap",), _in("/usr/sbin", "debootstrap"))
CHROMIUM: Final = Package("chromium", ("chromium",), _in("/usr/bin", "chromium"))
