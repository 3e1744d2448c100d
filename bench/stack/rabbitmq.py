"""A private RabbitMQ."""

import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from bench.stack.errors import StackError
from bench.stack.packages import RABBITMQ, rabbitmq_prefix
from bench.stack.process import answers, environment
from bench.stack.server import Server

_API_SECONDS = 30.0
_CTL_SECONDS = 60.0
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

# Distribution on the loopback only; schedulers that sleep at once when there is nothing to do;
# quorum queues that tell the management API their lengths each second.
_LOCAL = "-kernel inet_dist_use_interface {127,0,0,1}"
_ERLANG = f"{_LOCAL} +sbwt none +sbwtdcpu none +sbwtdio none -rabbit quorum_tick_interval 1000"


class RabbitMQ(Server):
    """A RabbitMQ of its own with the management plugin and the administrator `jasmin`.

    `config` are lines of rabbitmq.conf, and win over the ones chosen here. The node has an epmd of
    its own, and takes nothing from, and leaves nothing to, the Erlang or RabbitMQ of the machine.
    """

    # The data belong to the name of the node, which therefore must never change.
    node: str = "billing@localhost"

    name = "rabbitmq"
    programs = frozenset({"beam.smp", "epmd", "erl_child_setup", "inet_gethost"})
    port_names = ("rabbitmq", "management", "distribution", "epmd")
    stop_signal = signal.SIGTERM
    user: ClassVar[str] = "jasmin"
    vhost: ClassVar[str] = "/"

    def __init__(self, directory: Path, *, config: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self._config = dict(config or {})

    @property
    def management_port(self) -> int:
        """The port of the HTTP API. Raises StackError before the first start."""
        return self._port("management")

    @property
    def management_url(self) -> str:
        """The URL of the management pages, without credentials and without a slash at the end."""
        return f"http://{self.host}:{self.management_port}"

    def url(self, vhost: str = "/") -> str:
        """The AMQP URL of a virtual host, with credentials."""
        return f"amqp://{self.user}:{self.password}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    def ctl(self, *args: str) -> str:
        """What `rabbitmqctl --quiet ARGS` prints. Takes about a second, mostly of CPU.

        Raises:
            StackError: the command failed or took more than a minute.
        """
        program = str(RABBITMQ.bindir() / "rabbitmqctl")
        command = [*rabbitmq_prefix(), program, "--quiet", *args]
        try:
            done = subprocess.run(
                command,
                check=False,
                cwd=self.directory,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_CTL_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise StackError(f"rabbitmqctl {' '.join(args)}: no end in {error.timeout} s") from None
        if done.returncode != 0:
            raise StackError(
                f"rabbitmqctl {' '.join(args)}: {(done.stderr or done.stdout).strip()}"
            )
        return done.stdout

    def api(self, method: str, path: str, body: object | None = None) -> Any:
        """Ask the management API for a path such as `/queues/%2F`; None if there is no content.

        Raises:
            StackError: it answers with an error, or not at all.
        """
        credentials = b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310 - always http
            f"{self.management_url}/api/{path.lstrip('/')}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        # Without a handler for proxies: those of the environment do not lead to this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_API_SECONDS) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            answer = error.read().decode(errors="replace")
            raise StackError(f"{method} {path}: {error.code} {answer}") from error
        except OSError as error:
            raise StackError(f"{method} {path}: {error}") from error
        return json.loads(content) if content else None

    def add_vhost(self, name: str) -> None:
        """Make a virtual host in which `user` may do everything. Raises StackError."""
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.api("PUT", f"/vhosts/{quote(name, safe='')}")
        self.api("PUT", f"/permissions/{quote(name, safe='')}/{self.user}", everything)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all that is in it. Raises StackError."""
        self.api("DELETE", f"/vhosts/{quote(name, safe='')}")

    def queues(self, vhost: str = "/") -> list[dict[str, Any]]:
        """The queues of a virtual host as the API describes them, at most about 2 s old."""
        queues: list[dict[str, Any]] = self.api("GET", f"/queues/{quote(vhost, safe='')}")
        return queues

    def _launch(self) -> None:
        bindir = RABBITMQ.bindir()
        self._configure()
        self._mark_log()
        self._launch_epmd()
        self._run([*rabbitmq_prefix(), str(bindir / "rabbitmq-server")])
        self._wait_until(self._ready)

    def _launch_epmd(self) -> None:
        """Start what tells nodes from each other, before the node starts one that outlives it."""
        self._run([*rabbitmq_prefix(), epmd_program()])
        self._wait_until(lambda: answers(self.host, self._epmd_port))

    @property
    def _epmd_port(self) -> int:
        return self._port("epmd")

    def _configure(self) -> None:
        config = {
            "listeners.tcp.local": f"{self.host}:{self.port}",
            "management.tcp.ip": self.host,
            "management.tcp.port": str(self.management_port),
            "default_user": self.user,
            "default_pass": self.password,
            "default_user_tags.administrator": "true",
            "vm_memory_high_watermark.relative": "0.4",
            "disk_free_limit.absolute": "50MB",
            "collect_statistics_interval": "1000",
            # Lengths and rates are as old as the samples are apart: 5 s, if it were not for these.
            "management.sample_retention_policies.global.minute": "1",
            "management.sample_retention_policies.basic.minute": "1",
            "management.sample_retention_policies.detailed.minute": "1",
            "log.console.level": "info",
        }
        lines = "".join(f"{name} = {value}\n" for name, value in (config | self._config).items())
        self._write_private(self.directory / "rabbitmq.conf", lines)
        (self.directory / "enabled_plugins").write_text("[rabbitmq_management].\n")

    def _variables(self) -> dict[str, str]:
        """The environment of all its programs: every path that could lead out of the directory."""
        here = self.directory
        return environment(
            HOME=str(here),  # of the Erlang cookie
            ERL_CRASH_DUMP_SECONDS="0",
            ERL_EPMD_ADDRESS=self.host,
            ERL_EPMD_PORT=str(self._epmd_port),
            RABBITMQ_NODENAME=self.node,
            RABBITMQ_DIST_PORT=str(self._port("distribution")),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=_ERLANG,
            RABBITMQ_CTL_ERL_ARGS=_LOCAL,
            RABBITMQ_CONF_ENV_FILE=str(here / "rabbitmq-env.conf"),
            RABBITMQ_CONFIG_FILE=str(here / "rabbitmq.conf"),
            RABBITMQ_CONFIG_FILES=str(here / "conf.d" / "*.conf"),
            RABBITMQ_ADVANCED_CONFIG_FILE=str(here / "advanced.config"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(here / "enabled_plugins"),
            RABBITMQ_MNESIA_BASE=str(here / "data"),
            RABBITMQ_LOG_BASE=str(here),
            RABBITMQ_LOGS="-",
            # The script then becomes the server, instead of waiting for it as its parent.
            RUNNING_UNDER_SYSTEMD="true",
        )

    def _ready(self) -> bool:
        if not answers(self.host, self.port, _PROTOCOL_HEADER):
            return False
        try:
            self.api("GET", "/overview")
        except StackError:
            return False
        return True


def epmd_program() -> str:
    """The path of `epmd`. Raises StackError."""
    epmd = shutil.which("epmd")
    if epmd is None:
        raise StackError("epmd, a program of Erlang, is not on PATH; is Erlang installed?")
    return epmd
