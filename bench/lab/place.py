"""Where is measured: a broker and a database, our own or given ones."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from bench.lab.workload import Workload
from service.settings import QueueType


class Place(ABC):
    """A broker and a database; open one with ``own_place`` or ``given_place``.

    Attributes:
        amqp_url: of the virtual host.
        dsn: URL of the database, which leads asyncpg and psycopg to the run's own schema.
        directory: for logs of whoever is measured.
        queue_type: of the queues.
        broker_pid: None where the broker is not ours.
        database_pid: None where the database is not ours.
    """

    amqp_url: str
    dsn: str
    directory: Path
    queue_type: QueueType
    broker_pid: int | None
    database_pid: int | None

    @property
    def environment(self) -> dict[str, str]:
        """The service's variables that lead it here, and to queues of the right kind."""
        raise NotImplementedError

    @abstractmethod
    async def fresh(self, workload: Workload) -> None:
        """Make the workload's queue empty and its tables as they are before any event."""

    @abstractmethod
    async def describe(self) -> dict[str, Any]:
        """Return versions and settings of both servers."""
