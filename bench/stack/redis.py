"""A private Redis, where Jasmin keeps what it knows of messages whose receipts are to come."""

import signal
from pathlib import Path

from bench.stack.install import ensure_installed
from bench.stack.packages import REDIS
from bench.stack.process import answers
from bench.stack.server import Server


class Redis(Server):
    """A Redis of its own, in memory alone; clients authenticate with its random password."""

    name = "redis"
    programs = frozenset({"redis-server", "redis-check-rdb"})
    port_names = ("redis",)
    stop_signal = signal.SIGTERM

    def _launch(self) -> None:
        ensure_installed(print, REDIS)
        self._configure()
        self._mark_log()
        self._run([str(REDIS.bindir() / "redis-server"), str(self._config_file)])
        self._wait_until(self._ready)

    @property
    def _config_file(self) -> Path:
        return self.directory / "redis.conf"

    def _configure(self) -> None:
        settings = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(self.directory),
            "requirepass": self.password,
            "save": '""',
            "appendonly": "no",
            "daemonize": "no",
        }
        lines = "".join(f"{name} {value}\n" for name, value in settings.items())
        self._write_private(self._config_file, lines)

    def _ready(self) -> bool:
        # With an error, as nobody has authenticated: it is there.
        return answers(self.host, self.port, b"PING\r\n")
