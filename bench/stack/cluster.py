"""Several private RabbitMQ nodes that are one cluster."""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from bench.stack.errors import StackError
from bench.stack.install import ensure_installed
from bench.stack.packages import POSTGRES, RABBITMQ
from bench.stack.postgres import PostgreSQL
from bench.stack.process import answers, environment
from bench.stack.rabbitmq import RabbitMQ, epmd_program
from bench.stack.server import Server

_DISCOVERY: Final = {
    "cluster_formation.peer_discovery_backend": "classic_config",
    # What the RabbitMQ team advises for three nodes: those without a majority stop serving.
    "cluster_partition_handling": "pause_minority",
}


class Epmd(Server):
    """Erlang's port mapper, through which nodes find each other; it outlives each of them."""

    name = "epmd"
    programs = frozenset({"epmd"})
    port_names = ("epmd",)
    stop_signal = RabbitMQ.stop_signal

    def _launch(self) -> None:
        self._mark_log()
        self._run([epmd_program()])
        self._wait_until(lambda: answers(self.host, self.port))

    def _variables(self) -> dict[str, str]:
        return environment(ERL_EPMD_ADDRESS=self.host, ERL_EPMD_PORT=str(self.port))


class Node(RabbitMQ):
    """One of them; it joins `first` when it is started for the first time."""

    def __init__(self, directory: Path, name: str, first: str, epmd: Epmd, secret: str) -> None:
        config = {**_DISCOVERY, "cluster_formation.classic_config.nodes.1": first}
        super().__init__(directory, config=config)
        self.node = name
        self._shared_epmd = epmd
        self._secret = secret

    @property
    def _epmd_port(self) -> int:
        return self._shared_epmd.port

    def _launch_epmd(self) -> None:
        """Nothing: the one that they share is up."""

    def _prepare(self) -> None:
        super()._prepare()
        for file in (self._password_file, self.directory / ".erlang.cookie"):
            if not file.exists():
                self._write_private(file, self._secret)


class Cluster:
    """RabbitMQ nodes that are one cluster, each in its own directory below `directory`.

    The administrator `jasmin` has the same password everywhere.
    """

    def __init__(self, directory: Path, size: int = 3) -> None:
        self._epmd = Epmd(directory / "epmd")
        secret = secrets.token_hex(16)
        names = [f"rabbit-{number}@localhost" for number in range(1, size + 1)]
        self.nodes = [
            Node(directory / name.partition("@")[0], name, names[0], self._epmd, secret)
            for name in names
        ]

    @property
    def hosts(self) -> str:
        """The addresses of all nodes, as `jasmin.amqp_host` takes them."""
        return ",".join(f"{node.host}:{node.port}" for node in self.nodes)

    @property
    def alive(self) -> RabbitMQ:
        """A node that runs. Raises StackError."""
        for node in self.nodes:
            if node.running:
                return node
        raise StackError("no node of the cluster runs")

    def start(self) -> None:
        """Start all nodes; return when they are one cluster. Raises StackError."""
        self._epmd.start()
        first, *others = self.nodes
        first.start()
        self._each(Server.start, others)
        running = [node["name"] for node in first.api("GET", "/nodes") if node["running"]]
        if len(running) != len(self.nodes):
            raise StackError(f"one cluster was to be made of all nodes; it has {running}")

    def stop(self) -> None:
        """Stop all nodes; does nothing to those that are down."""
        self._each(Server.stop, self.nodes)
        self._epmd.stop()

    def queues(self) -> list[dict[str, Any]]:
        """The queues of the virtual host /, as a node that runs describes them."""
        return self.alive.queues()

    def leader(self, queue: str) -> RabbitMQ:
        """The node that leads a quorum queue. Raises StackError where there is none."""
        name = self.alive.api("GET", f"/queues/%2F/{queue}").get("leader")
        for node in self.nodes:
            if node.node == name:
                return node
        raise StackError(f"{queue} has no leader")

    def _each(self, action: Callable[[Server], None], nodes: list[Node]) -> None:
        with ThreadPoolExecutor(max_workers=len(self.nodes)) as pool:
            for done in [pool.submit(action, node) for node in nodes]:
                done.result()


class ClusterStack:
    """A cluster and a PostgreSQL, below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.rabbitmq = Cluster(directory)
        self.postgres = PostgreSQL(directory / "postgres")

    def start(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Install what is missing and start everything; on any failure, nothing.

        Raises:
            StackError: something could not be installed or started.
        """
        ensure_installed(report, RABBITMQ, POSTGRES)
        report(f"starting {len(self.rabbitmq.nodes)} RabbitMQ nodes and PostgreSQL")
        try:
            self.postgres.start()
            self.rabbitmq.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything; does nothing to what is down."""
        self.rabbitmq.stop()
        self.postgres.stop()
