"""A private Redis, where Jasmin keeps what it knows of messages whose receipts are to come."""

import signal
import socket

from bench.stack.install import ensure_redis, redis_bindir
from bench.stack.process import environment, spawn
from bench.stack.server import Server


class Redis(Server):
    """A Redis of its own, in memory alone; clients authenticate with its random password."""

    name = "redis"
    programs = frozenset({"redis-server", "redis-check-rdb"})
    port_names = ("redis",)
    stop_signal = signal.SIGTERM

    def _launch(self) -> None:
        ensure_redis(print)
        self._configure()
        self._mark_log()
        server = spawn(
            [str(redis_bindir() / "redis-server"), str(self.directory / "redis.conf")],
            directory=self.directory,
            log=self.log,
            variables=environment(),
            end_with_us=self.stop_signal,
        )
        self._children.append(server)
        self._wait_until(self._ready)

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
        file = self.directory / "redis.conf"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    def _ready(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1.0) as peer:
                peer.sendall(b"PING\r\n")
                return bool(peer.recv(1))  # an error, as nobody has authenticated: it is there
        except OSError:
            return False
