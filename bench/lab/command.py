"""What all commands of ``python -m bench`` share: options, places, how they end."""

import asyncio
import logging
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn, Protocol

import asyncpg
import typer
import uvloop
from aiormq.exceptions import AMQPError
from rich.console import Console

from bench import PROJECT
from bench.lab.database import Database, Unusable
from bench.lab.given import GivenDatabase, given_place
from bench.lab.own import own_database, own_place
from bench.lab.place import Place
from bench.lab.screen import Screen
from bench.lab.wire import Refused
from bench.stack import StackError
from bench.stack.program import ProgramFailed
from service.settings import Dlr, QueueType

_FAILURES: Final = (
    StackError,
    ProgramFailed,
    Unusable,
    Refused,
    AMQPError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
)

_SERVICES_OWN: Final = "the service's"

WorkersOption = Annotated[
    int, typer.Option(min=1, help="Worker processes.", show_default="one for each core")
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(min=1, help="Events in a transaction at most.", show_default=_SERVICES_OWN),
]
PrefetchOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Unacknowledged messages for each worker.", show_default=_SERVICES_OWN
    ),
]
FlushMsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Milliseconds a batch waits at most.", show_default=_SERVICES_OWN),
]
CdrsOption = Annotated[int, typer.Option(min=1, help="CDRs that there are.")]
AccountsOption = Annotated[int, typer.Option(min=1, help="Accounts that they are of.")]
ReceiptLogOption = Annotated[
    bool, typer.Option(help="Whether receipts are also kept as they came.")
]
RECEIPT_LOG: Final = Dlr().receipt_log
"""What the service does unless told otherwise."""

SeedOption = Annotated[int, typer.Option(help="Repeats the very same events and rows.")]
RepeatsOption = Annotated[int, typer.Option(min=1, help="Runs; the median counts.")]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        help="JSON file; CSV goes beside it.", show_default="bench/results/COMMAND-TIME.json"
    ),
]
DirectoryOption = Annotated[
    Path | None, typer.Option(help="Where servers keep their data.", show_default=".stack")
]
AmqpUrlOption = Annotated[
    str | None,
    typer.Option(
        help="Use this RabbitMQ: amqp://USER:PASSWORD@HOST/VHOST, a virtual host that nothing else "
        "uses.",
        show_default="one that is started for the run",
    ),
]
DatabaseUrlOption = Annotated[
    str | None,
    typer.Option(
        help="Use this PostgreSQL, in a schema that is made and dropped.",
        show_default="one that is started for the run",
    ),
]
QueueTypeOption = Annotated[QueueType, typer.Option(help="Kind of the queues.")]


def numbers(text: str) -> tuple[int, ...]:
    """Return what an option lists, each number once, from small to large. Raises ValueError."""
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise ValueError(f"{text!r}: expected numbers, as in 250,500,1000")
    return tuple(sorted({int(number) for number in text.split(",")}))


class Outcome(Protocol):
    """What a command came to."""

    @property
    def is_void(self) -> bool:
        """Whether it does not count."""

    def write(self, path: Path) -> None:
        """Write it as JSON, and as CSV beside that."""

    def show(self, console: Console) -> None:
        """Print it."""


@dataclass(frozen=True)
class PlaceOptions:
    """Where to measure, as the command line says it."""

    directory: Path | None = None
    amqp_url: str | None = None
    database_url: str | None = None
    queue_type: QueueType = "quorum"

    def __post_init__(self) -> None:
        """Raise typer.BadParameter for one server of ours and one that is given."""
        if (self.amqp_url is None) != (self.database_url is None):
            raise typer.BadParameter("give both --amqp-url and --database-url, or neither")

    @asynccontextmanager
    async def open(self, screen: Screen) -> AsyncIterator[Place]:
        """Open the place. Raises StackError or Unusable."""
        if self.amqp_url is not None and self.database_url is not None:
            opening = given_place(self.amqp_url, self.database_url, self.queue_type, screen)
        else:
            opening = own_place(self.directory, self.queue_type, screen)
        async with opening as place:
            yield place


def open_database(
    directory: Path | None, url: str | None, screen: Screen
) -> AbstractAsyncContextManager[Database]:
    """Open the given database, or one of our own, without a broker. Raises StackError, Unusable."""
    return own_database(directory, screen) if url is None else GivenDatabase(url, screen)


def run(
    command: str, story: Callable[[Screen], Awaitable[Outcome]], output: Path | None
) -> NoReturn:
    """Run a command to its end: show and write what it came to.

    Exit codes: 0 it counts; 1 it is void, or failed; 130 interrupted.
    """
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # what matters is raised as well
    console = Console(highlight=False)
    try:
        with Screen(console) as screen:
            outcome = uvloop.run(_awaited(story, screen))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _end(command, "interrupted; everything is stopped", 130)
    except _FAILURES as failure:
        _end(command, str(failure), 1)
    path = output or _default_output(command)
    outcome.write(path)
    outcome.show(console)
    console.print(f"written: {path}", soft_wrap=True)
    raise typer.Exit(1 if outcome.is_void else 0)


async def _awaited(story: Callable[[Screen], Awaitable[Outcome]], screen: Screen) -> Outcome:
    return await story(screen)


def _default_output(command: str) -> Path:
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return PROJECT / "bench" / "results" / f"{command}-{now}.json"


def _end(command: str, text: str, code: int) -> NoReturn:
    print(f"bench {command}: {text}", file=sys.stderr)
    raise typer.Exit(code)
