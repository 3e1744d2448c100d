"""A private PgBouncer."""

import signal
import struct
from collections.abc import Mapping
from pathlib import Path

from bench.stack.install import ensure_installed
from bench.stack.packages import PGBOUNCER
from bench.stack.postgres import PostgreSQL, prepare_for
from bench.stack.process import answers
from bench.stack.server import Server

# Asks whether TLS is spoken; any PgBouncer answers, with one byte.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class PgBouncer(Server):
    """A PgBouncer of its own in front of a PostgreSQL, in transaction mode.

    `settings` are lines of its section [pgbouncer], and win over the ones chosen here. Its users
    are those of the server behind it, with the superuser's password. Like PostgreSQL it does not
    run as root.
    """

    name = "pgbouncer"
    programs = frozenset({"pgbouncer"})
    port_names = ("pgbouncer",)
    stop_signal = signal.SIGTERM  # the immediate shutdown: does not wait for clients to leave

    def __init__(
        self,
        directory: Path,
        postgres: PostgreSQL,
        *,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory)
        self._postgres = postgres
        self._settings = dict(settings or {})

    def dsn(self, database: str = "postgres") -> str:
        """The URL of a database behind it."""
        direct = self._postgres.dsn(database)
        return direct.replace(f":{self._postgres.port}/", f":{self.port}/")

    def _prepare(self) -> None:
        super()._prepare()
        self.directory, self._account = prepare_for(self.directory)

    def _launch(self) -> None:
        ensure_installed(print, PGBOUNCER)
        self._configure()
        self._mark_log()
        self._run([str(PGBOUNCER.bindir() / "pgbouncer"), str(self._file("pgbouncer.ini"))])
        self._wait_until(self._ready)

    def _configure(self) -> None:
        settings = {
            "listen_addr": self.host,
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(self._file("users.txt")),
            "pool_mode": "transaction",
        }
        lines = "".join(
            f"{name} = {value}\n" for name, value in (settings | self._settings).items()
        )
        servers = f"* = host={self._postgres.host} port={self._postgres.port}\n"
        sections = f"[databases]\n{servers}[pgbouncer]\n{lines}"
        self._write_private(self._file("pgbouncer.ini"), sections)
        users = f'"postgres" "{self._postgres.password}"\n'
        self._write_private(self._file("users.txt"), users)

    def _file(self, name: str) -> Path:
        return self.directory / name

    def _ready(self) -> bool:
        return answers(self.host, self.port, _SSL_REQUEST)
