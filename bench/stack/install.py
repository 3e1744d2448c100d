"""Finds the servers' programs on this machine, and installs what is missing.

Other releases are run where the environment says so: STACK_POSTGRES_BINDIR is the directory of
PostgreSQL's programs, STACK_RABBITMQ_PREFIX is put before every command of RabbitMQ's.
"""

import fcntl
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.stack.errors import StackError

_SCRIPT = Path(__file__).with_name("install.sh")
_LOCK = Path(tempfile.gettempdir()) / f"billing-service-install-{os.getuid()}.lock"
_OUTPUT_LINES = 20


def ensure_installed(report: Callable[[str], None]) -> None:
    """Install with apt what is missing of RabbitMQ and PostgreSQL.

    The services of the distribution are not started, nor left enabled. `report` is given one line
    before each step that takes long, and none when there is nothing to do.

    Raises:
        StackError: something is missing and cannot be installed from here.
    """
    _ensure({"rabbitmq-server": _find_rabbitmq, "postgresql": _find_postgres}, report)


def ensure_pgbouncer(report: Callable[[str], None]) -> None:
    """Install PgBouncer likewise, for those few who want it.

    Raises:
        StackError: it is missing and cannot be installed from here.
    """
    _ensure({"pgbouncer": _find_pgbouncer}, report)


def ensure_prometheus(report: Callable[[str], None]) -> None:
    """Install Prometheus likewise, for what checks the alerts.

    Raises:
        StackError: it is missing and cannot be installed from here.
    """
    _ensure({"prometheus": _find_prometheus}, report)


def ensure_redis(report: Callable[[str], None]) -> None:
    """Install Redis likewise, for what runs a Jasmin.

    Raises:
        StackError: it is missing and cannot be installed from here.
    """
    _ensure({"redis-server": _find_redis}, report)


def ensure_chromium(report: Callable[[str], None]) -> None:
    """Install Chromium likewise, for what looks at the status page.

    Raises:
        StackError: it is missing and cannot be installed from here.
    """
    _ensure({"chromium": _find_chromium}, report)


def _ensure(
    finders: Mapping[str, Callable[[], Path | None]], report: Callable[[str], None]
) -> None:
    # One at a time, as tests in several processes would all begin with it.
    with _LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [package for package, find in finders.items() if find() is None]
        if missing:
            _install_all(missing, finders, report)


def _install_all(
    missing: Sequence[str],
    finders: Mapping[str, Callable[[], Path | None]],
    report: Callable[[str], None],
) -> None:
    as_root = _as_root()
    if as_root is None or shutil.which("apt-get") is None:
        raise StackError(_instruction(*missing))
    report(f"installing {' and '.join(missing)} with apt-get, this can take some minutes")
    _install([*as_root, "sh", str(_SCRIPT), *missing], report)
    for package in missing:
        if finders[package]() is None:
            _refuse(package)
    report(f"installed {' and '.join(missing)}; their services are not enabled")


def rabbitmq_bindir() -> Path:
    """The directory of the programs `rabbitmq-server` and `rabbitmqctl`.

    Raises:
        StackError: RabbitMQ is not installed.
    """
    return _find_rabbitmq() or _refuse("rabbitmq-server")


def postgres_bindir() -> Path:
    """The directory of the programs `postgres` and `initdb`, by default the newest ones.

    Raises:
        StackError: PostgreSQL is not installed.
    """
    return _find_postgres() or _refuse("postgresql")


def rabbitmq_prefix() -> list[str]:
    """What to put before a command of RabbitMQ's or Erlang's to run it."""
    return shlex.split(os.environ.get("STACK_RABBITMQ_PREFIX", ""))


def psql() -> Path:
    """The program `psql`, that of the newest version that is installed.

    Raises:
        StackError: PostgreSQL is not installed.
    """
    return (_find_installed_postgres() or _refuse("postgresql")) / "psql"


def pgbouncer_bindir() -> Path:
    """The directory of the program `pgbouncer`.

    Raises:
        StackError: PgBouncer is not installed.
    """
    return _find_pgbouncer() or _refuse("pgbouncer")


def prometheus_bindir() -> Path:
    """The directory of the programs `prometheus` and `promtool`.

    Raises:
        StackError: Prometheus is not installed.
    """
    return _find_prometheus() or _refuse("prometheus")


def redis_bindir() -> Path:
    """The directory of the program `redis-server`.

    Raises:
        StackError: Redis is not installed.
    """
    return _find_redis() or _refuse("redis-server")


def _find_redis() -> Path | None:
    places = [Path("/usr/bin")]
    if on_path := shutil.which("redis-server"):
        places.append(Path(on_path).resolve().parent)
    return _first_with(places, "redis-server")


def chromium_bindir() -> Path:
    """The directory of the program `chromium`.

    Raises:
        StackError: Chromium is not installed.
    """
    return _find_chromium() or _refuse("chromium")


def _find_chromium() -> Path | None:
    places = [Path("/usr/bin")]
    if on_path := shutil.which("chromium"):
        places.append(Path(on_path).resolve().parent)
    return _first_with(places, "chromium")


def _find_pgbouncer() -> Path | None:
    places = [Path("/usr/sbin")]
    if on_path := shutil.which("pgbouncer"):
        places.append(Path(on_path).resolve().parent)
    return _first_with(places, "pgbouncer")


def _find_prometheus() -> Path | None:
    places = [Path("/usr/bin")]
    if on_path := shutil.which("promtool"):
        places.append(Path(on_path).resolve().parent)
    return _first_with(places, "prometheus", "promtool")


def _find_rabbitmq() -> Path | None:
    # Debian's /usr/sbin has wrappers that insist on the user `rabbitmq` and on the system's
    # directories; they are links to a file that stands next to the real scripts.
    places = [Path("/usr/lib/rabbitmq/bin")]
    if on_path := shutil.which("rabbitmq-server"):
        places.append(Path(on_path).resolve().parent)
    return _first_with(places, "rabbitmq-server", "rabbitmqctl")


def _find_postgres() -> Path | None:
    if chosen := os.environ.get("STACK_POSTGRES_BINDIR"):
        return _first_with([Path(chosen)], "postgres", "initdb")
    return _find_installed_postgres()


def _find_installed_postgres() -> Path | None:
    versions = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    places = sorted(versions, key=lambda path: float(path.parent.name), reverse=True)
    if pg_config := shutil.which("pg_config"):
        asked = subprocess.run([pg_config, "--bindir"], check=False, capture_output=True, text=True)
        places.append(Path(asked.stdout.strip()))
    if on_path := shutil.which("postgres"):
        places.append(Path(on_path).resolve().parent)
    return _first_with(places, "postgres", "initdb")


def _first_with(places: list[Path], *programs: str) -> Path | None:
    for place in places:
        if all(os.access(place / program, os.X_OK) for program in programs):
            return place
    return None


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


def _refuse(package: str) -> Path:
    raise StackError(_instruction(package))


def _instruction(*packages: str) -> str:
    return f"not installed here: {', '.join(packages)}. Run: apt-get install {' '.join(packages)}"
