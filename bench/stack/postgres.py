"""A private PostgreSQL."""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import sql

from bench.stack.errors import StackError
from bench.stack.packages import POSTGRES
from bench.stack.process import as_user, environment
from bench.stack.server import Server

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # their paths may not be longer than 107 bytes
    "max_connections": "200",
    "shared_buffers": "256MB",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}

_ELSEWHERE = Path("/var/tmp")  # noqa: S108 - whose the directory in it is gets looked at
_INITDB = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
_INITDB += ["--no-sync"]

# Of a primary, with what makes the copy its standby.
_COPY = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]


class PostgreSQL(Server):
    """A PostgreSQL of its own; the superuser is `postgres`, with a random password.

    `settings` are lines of postgresql.conf, and win over the ones chosen here. PostgreSQL does not
    run as root: for root it runs as the user `postgres` or `nobody`, and where that user cannot
    reach `directory` it moves below /var/tmp. After a start `directory` is the true one.

    `standby_of` makes it the standby of another one, which must be running when this one is
    started for the first time, and has the same settings.
    """

    name = "postgresql"
    programs = frozenset({"postgres"})
    port_names = ("postgresql",)
    stop_signal = signal.SIGINT  # the fast shutdown: does not wait for clients to leave

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        standby_of: "PostgreSQL | None" = None,
    ) -> None:
        super().__init__(directory)
        self._settings = dict(settings or {})
        self._primary = standby_of

    def dsn(self, database: str = "postgres") -> str:
        """The URL of a database, as libpq and asyncpg take it."""
        return f"postgresql://postgres:{self.password}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str) -> None:
        """Create a database, empty. Raises psycopg.Error: it cannot, or there is one already."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _prepare(self) -> None:
        super()._prepare()
        # Not before now: installing PostgreSQL makes the user `postgres`.
        self.directory, self._account = prepare_for(self.directory, self._data)

    def _launch(self) -> None:
        bindir = POSTGRES.bindir()
        if not self._data.exists():
            self._initialise(bindir)
        self._configure()
        self._mark_log()
        self._run([str(bindir / "postgres"), "-D", str(self._data)])
        self._wait_until(self._ready)

    def _read_password(self) -> str:
        if self._primary is not None:
            self._write_private(self._password_file, self._primary.password)
        return super()._read_password()

    def _initialise(self, bindir: Path) -> None:
        # Made aside and then renamed: a data directory that is there is a complete one.
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [str(bindir / "initdb"), f"--pwfile={self._password_file}", *_INITDB]
        if self._primary is not None:
            command = [str(bindir / "pg_basebackup"), f"--dbname={self._primary.dsn()}", *_COPY]
        made = subprocess.run(
            [*command, f"--pgdata={unfinished}"],
            check=False,
            cwd=self.directory,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **as_user(self._account),
        )
        if made.returncode != 0:
            raise StackError(f"{Path(command[0]).name} failed:\n{made.stdout.strip()}")
        unfinished.rename(self._data)

    def _configure(self) -> None:
        settings = _SETTINGS | self._settings | {"port": str(self.port)}
        quoted = {name: value.replace("'", "''") for name, value in settings.items()}
        lines = "".join(f"{name} = '{value}'\n" for name, value in quoted.items())
        (self._data / "postgresql.conf").write_text(lines)
        # A dead server's lock file is obeyed when its process id has gone to another process of
        # the same user. That nobody works in this directory is known here.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _ready(self) -> bool:
        """What pg_ctl looks at: the eighth line of the lock file is the state of the server."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(self._children[-1].pid)] and lines[7:8] == ["ready   "]


def prepare_for(directory: Path, data: Path | None = None) -> tuple[Path, pwd.struct_passwd | None]:
    """Hand a server's directory to a user that is not root.

    Returns:
        The directory, which is another one where that user cannot reach it, and the user; None is
        the present one.

    Raises:
        StackError: there is no such user, or the other directory is somebody else's.
    """
    account = _account(data or directory)
    if account is None:
        return directory, None
    if not _reachable(directory, account):
        digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
        directory = _ELSEWHERE.resolve() / f"billing-service-{digest}"
        directory.mkdir(mode=0o700, exist_ok=True)
        if directory.is_symlink() or directory.owner() not in {"root", account.pw_name}:
            raise StackError(f"{directory} belongs to somebody else; remove it")
    os.chown(directory, account.pw_uid, account.pw_gid)
    return directory, account


def _account(data: Path) -> pwd.struct_passwd | None:
    """The user to run as, None for the present one. Root runs as the owner of the data there."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat().st_uid) != 0:
        with suppress(KeyError):
            return pwd.getpwuid(owner)
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StackError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _reachable(directory: Path, account: pwd.struct_passwd) -> bool:
    command = ["test", "-x", str(directory)]
    return subprocess.run(command, check=False, **as_user(account)).returncode == 0
