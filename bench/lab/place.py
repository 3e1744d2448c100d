"""Where is measured: a broker and a database."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from bench.lab import queues
from bench.lab.database import Database
from bench.lab.workload import Workload
from service.broker.topology import BILL, DLR, Source
from service.settings import AMQP_PORT, AMQPS_PORT, Bill, Dlr, QueueType, Stream

# So that the backlog of any run fits; the queues' other arguments are the service's own.
MAX_LENGTH: Final = 100_000_000


class Place:
    """A broker and a database, both ours or both given.

    Attributes:
        amqp_url: of the virtual host.
        database: with the tables.
        directory: for logs of whoever is measured.
        queues: the settings that the queues are declared with.
        broker_pid: the broker's process, where it is ours.
        screen: is told what happens.
    """

    def __init__(
        self,
        amqp_url: str,
        database: Database,
        directory: Path,
        queue_type: QueueType,
        *,
        broker_pid: int | None = None,
    ) -> None:
        self.amqp_url = amqp_url
        self.database = database
        self.directory = directory
        self.broker_pid = broker_pid
        self.screen = database.screen
        self.queues: dict[Source, Stream] = {
            DLR: Dlr(queue_type=queue_type, max_length=MAX_LENGTH),
            BILL: Bill(queue_type=queue_type, max_length=MAX_LENGTH),
        }

    @property
    def environment(self) -> dict[str, str]:
        """The service's variables that lead it here."""
        parts = urlsplit(self.amqp_url)
        is_secure = parts.scheme == "amqps"
        port = parts.port or (AMQPS_PORT if is_secure else AMQP_PORT)
        variables = {
            "BILLING_CONFIG": "/dev/null",
            "BILLING_JASMIN_AMQP_HOST": parts.hostname or "localhost",
            "BILLING_JASMIN_AMQP_PORT": str(port),
            "BILLING_JASMIN_AMQP_TLS": str(is_secure).lower(),
            "BILLING_JASMIN_AMQP_USER": unquote(parts.username or "guest"),
            "BILLING_JASMIN_AMQP_PASSWORD": unquote(parts.password or "guest"),
            "BILLING_JASMIN_AMQP_VHOST": unquote(parts.path[1:]) or "/",
            "BILLING_DATABASE_URL": self.database.dsn,
        }
        for section, queue in (("DLR", self.queues[DLR]), ("BILL", self.queues[BILL])):
            variables[f"BILLING_{section}_QUEUE_TYPE"] = queue.queue_type
            variables[f"BILLING_{section}_MAX_LENGTH"] = str(queue.max_length)
        return variables

    async def fresh(self, workload: Workload) -> None:
        """Make the queues empty, and the tables as they are before any event."""
        await queues.declare(self.amqp_url, self.queues)
        await self.database.fresh(workload.tables)

    async def describe(self) -> dict[str, Any]:
        """Return what both servers are, and how they are set."""
        return {
            "broker": await queues.server(self.amqp_url),
            "queue_type": self.queues[DLR].queue_type,
            **await self.database.describe(),
        }
