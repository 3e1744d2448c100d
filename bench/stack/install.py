"""Installs what is missing of the packages whose programs are run."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.stack.errors import StackError
from bench.stack.packages import Package, instruction

_SCRIPT = Path(__file__).with_name("install.sh")
_LOCK = Path(tempfile.gettempdir()) / f"billing-service-install-{os.getuid()}.lock"
_OUTPUT_LINES = 20


def ensure_installed(report: Callable[[str], None], *packages: Package) -> None:
    """Install with apt what is missing of packages.

    The services of the distribution are not started, nor left enabled. `report` is given one line
    before each step that takes long, and none when there is nothing to do.

    Raises:
        StackError: something is missing and cannot be installed from here.
    """
    # One at a time, as tests in several processes would all begin with it.
    with _LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if missing := [package for package in packages if package.find() is None]:
            _install_all(missing, report)


def _install_all(missing: Sequence[Package], report: Callable[[str], None]) -> None:
    as_root = _as_root()
    if as_root is None or shutil.which("apt-get") is None:
        raise StackError(instruction(*missing))
    names = [package.name for package in missing]
    report(f"installing {' and '.join(names)} with apt-get, this can take some minutes")
    _install([*as_root, "sh", str(_SCRIPT), *names], report)
    for package in missing:
        package.bindir()
    report(f"installed {' and '.join(names)}; their services are not enabled")


def _as_root() -> list[str] | None:
    """What to put before a command to run it as root; None if that cannot be."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    asked = subprocess.run([sudo, "-n", "true"], check=False, capture_output=True)
    return [sudo, "-n"] if asked.returncode == 0 else None


def _install(command: list[str], report: Callable[[str], None]) -> None:
    # In a session of its own: Ctrl-C must not leave dpkg halfway through a package.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        errors="replace",
    ) as apt:
        try:
            output, _ = apt.communicate()
        except KeyboardInterrupt:
            report("waiting for apt-get to finish what it has begun")
            apt.communicate()
            raise
    if apt.returncode != 0:
        lines = "\n".join(output.splitlines()[-_OUTPUT_LINES:])
        raise StackError(f"apt-get failed with status {apt.returncode}:\n{lines}")
