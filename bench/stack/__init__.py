"""RabbitMQ and PostgreSQL for one demonstration, test or measurement, apart from all others."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from bench.stack.errors import StackError
from bench.stack.install import ensure_installed
from bench.stack.packages import POSTGRES, RABBITMQ
from bench.stack.pgbouncer import PgBouncer
from bench.stack.postgres import PostgreSQL
from bench.stack.rabbitmq import RabbitMQ
from bench.stack.server import Server

__all__ = [
    "PgBouncer",
    "PostgreSQL",
    "RabbitMQ",
    "Server",
    "Stack",
    "StackError",
]


class Stack:
    """Both servers, each in its own directory below `directory`.

    `postgres` are lines of postgresql.conf, besides those that every private server has.
    """

    def __init__(self, directory: Path, *, postgres: Mapping[str, str] | None = None) -> None:
        self.rabbitmq = RabbitMQ(directory / "rabbitmq")
        self.postgres = PostgreSQL(directory / "postgres", settings=postgres)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Install what is missing and start both servers side by side; on any failure, neither.

        `report` is given one line for each step that takes long.

        Raises:
            StackError: one of them could not be installed or started.
        """
        ensure_installed(report, RABBITMQ, POSTGRES)
        report("starting RabbitMQ and PostgreSQL")
        self._both(Server.start, undo=True)

    def stop(self) -> None:
        """Stop both servers; does nothing to one that is down."""
        self._both(Server.stop)

    def environment(self, database: str, vhost: str = "/") -> dict[str, str]:
        """The variables that lead the service to these servers. Raises StackError before a start.

        `database` and `vhost` are names, and need not exist yet.
        """
        return {
            "BILLING_JASMIN_AMQP_HOST": self.rabbitmq.host,
            "BILLING_JASMIN_AMQP_PORT": str(self.rabbitmq.port),
            "BILLING_JASMIN_AMQP_USER": self.rabbitmq.user,
            "BILLING_JASMIN_AMQP_PASSWORD": self.rabbitmq.password,
            "BILLING_JASMIN_AMQP_VHOST": vhost,
            "BILLING_DATABASE_URL": self.postgres.dsn(database),
        }

    def _both(self, action: Callable[[Server], None], *, undo: bool = False) -> None:
        try:
            with ThreadPoolExecutor(max_workers=2) as pool:
                for done in [pool.submit(action, each) for each in (self.rabbitmq, self.postgres)]:
                    done.result()
        except BaseException:
            if undo:
                self.stop()
            raise
