"""A private Jasmin SMS gateway."""

import hashlib
import signal
import socket
import sys
from collections.abc import Mapping
from configparser import RawConfigParser
from io import StringIO
from pathlib import Path
from typing import ClassVar, Final

from bench.stack.jasmin_environment import amqp_specification, ensure_jasmin, find_python
from bench.stack.jcli import Console
from bench.stack.rabbitmq import RabbitMQ
from bench.stack.redis import Redis
from bench.stack.server import Server

_DAEMON: Final = Path(__file__).with_name("jasmind.py")
_FLAGS: Final = ("--enable-dlr-lookup", "--enable-dlr-thrower")
_ADMINISTRATOR: Final = "admin"
# Jasmin's sections with their ports; `jasmin` is the one of the HTTP API.
_PORTS: Final = {
    "http-api": "jasmin",
    "smpp-server": "smpp",
    "jcli": "jcli",
    "router": "router",
    "client-management": "clients",
    "smpp-server-pb": "smpp_admin",
}


class Jasmin(Server):
    """A stock Jasmin of its own, between a private RabbitMQ and a private Redis.

    What it is told through :meth:`console` and then ``persist`` it knows again after a restart.
    It keeps to its directory: configuration, store and logs, of which there are a dozen.

    Args:
        directory: where it works.
        rabbitmq: runs already when this one is started; so does
        redis: whose keys all become Jasmin's.
        settings: of jasmin.cfg by section, and win over the ones chosen here.
        timezone: in which its times are; UTC, or one of tzdata's ``Etc/GMT``.
    """

    name = "jasmin"
    programs = frozenset({Path(find_python() or sys.executable).resolve().name})
    port_names = tuple(_PORTS.values())
    stop_signal = signal.SIGTERM
    user: ClassVar[str] = _ADMINISTRATOR

    def __init__(
        self,
        directory: Path,
        rabbitmq: RabbitMQ,
        redis: Redis,
        *,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        timezone: str = "UTC",
    ) -> None:
        super().__init__(directory)
        self._rabbitmq = rabbitmq
        self._redis = redis
        self._timezone = timezone
        self._settings = {section: dict(lines) for section, lines in (settings or {}).items()}

    @property
    def http_url(self) -> str:
        """The URL of the HTTP API, without a slash at the end. StackError before a start."""
        return f"http://{self.host}:{self.port}"

    @property
    def smpp_port(self) -> int:
        """The port of the SMPP server for Jasmin's users. StackError before a start."""
        return self._port("smpp")

    def console(self) -> Console:
        """Log in to jCli. Raises OSError or StackError when it is not there."""
        return Console(self.host, self._port("jcli"), self.user, self.password)

    def _launch(self) -> None:
        python = ensure_jasmin(print)
        self._configure()
        self._mark_log()
        command = [str(python), "-I", str(_DAEMON), "--config", str(self._file("jasmin.cfg"))]
        credentials = ["--username", self.user, "--password", self.password]
        self._run([*command, *credentials, *_FLAGS])
        self._wait_until(self._ready)

    def _configure(self) -> None:
        for name in ("store", "logs"):
            self._file(name).mkdir(exist_ok=True)
        config = RawConfigParser()
        config.optionxform = str  # type: ignore[assignment, method-assign]
        config.read_dict(self._sections())
        config.read_dict(self._settings)
        text = StringIO()
        config.write(text)
        self._write_private(self._file("jasmin.cfg"), text.getvalue())

    def _sections(self) -> dict[str, dict[str, str]]:
        listeners = {
            section: {"bind": self.host, "port": str(self._port(port))}
            for section, port in _PORTS.items()
        }
        digest = hashlib.md5(self.password.encode(), usedforsecurity=False).hexdigest()
        listeners["jcli"] |= {"admin_username": self.user, "admin_password": digest}
        return listeners | {
            "amqp-broker": {
                "host": self._rabbitmq.host,
                "port": str(self._rabbitmq.port),
                "username": self._rabbitmq.user,
                "password": self._rabbitmq.password,
                "spec": str(amqp_specification()),
            },
            "redis-client": {
                "host": self._redis.host,
                "port": str(self._redis.port),
                "password": self._redis.password,
            },
        }

    def _variables(self) -> dict[str, str]:
        """The environment: nothing of ours, as Jasmin takes any setting from a variable, too."""
        return {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "TZ": self._timezone.removeprefix("Etc/"),  # so libc needs no tzdata
            "HOME": str(self.directory),
            "ROOT_PATH": str(self.directory),
            "CONFIG_PATH": str(self.directory),
            "STORE_PATH": str(self._file("store")),
            "LOG_PATH": str(self._file("logs")),
        }

    def _file(self, name: str) -> Path:
        return self.directory / name

    def _ready(self) -> bool:
        """Its console is started last."""
        try:
            with socket.create_connection((self.host, self._port("jcli")), timeout=1.0) as peer:
                return bool(peer.recv(1))
        except OSError:
            return False
