"""Who is measured: a program that consumes the queue, and logs a line for each batch."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
from pydantic import ValidationError

from bench.lab.log import JsonLog
from bench.lab.place import Place
from bench.lab.workload import Workload
from bench.stack.program import Program
from service.settings import Bill, Dlr, Stream, variable_of

# Of the settings of a queue, those that change what is measured.
_TOLD: Final = {"batch_size", "prefetch", "flush_ms", "queue_type", "receipt_log", "charge_mode"}


# What the service is called among contestants; of one under several settings, the beginning.
SERVICE: Final = "billing-service"


@dataclass(frozen=True)
class Contestant:
    """A program under measurement.

    It consumes the workload's queue, which exists, and after each commit writes to standard error
    a line of JSON with ``"event": "batch"``, ``size`` and ``timestamp`` (ISO 8601, UTC). It ends
    on SIGTERM.

    Attributes:
        name: shown in results.
        command: what is started.
        variables: of its environment.
        copies: how many processes of it are started.
        settings: shown in results.
        is_service: whether it writes all that the service writes, rather than the status alone.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    copies: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_service: bool = False


class Batch(NamedTuple):
    """One committed batch.

    Attributes:
        at: POSIX time of its line.
        size: how many events.
        flushed_by: why it was not waited for any longer, if said.
        commit_ms: how long the transaction took, if said.
        parked: how many of its events wait for a row that is not there.
    """

    at: float
    size: int
    flushed_by: str | None = None
    commit_ms: float | None = None
    parked: int = 0


class Running:
    """A contestant's processes.

    Attributes:
        batches: those that :meth:`read` has read of so far.
        committed: events in them.
    """

    def __init__(self, contestant: Contestant, directory: Path) -> None:
        self.batches: list[Batch] = []
        self.committed = 0
        self._workers: set[int] = set()
        self._programs = [
            Program(
                contestant.name,
                contestant.command,
                contestant.variables,
                directory / f"{contestant.name}-{number}.log",
            )
            for number in range(1, contestant.copies + 1)
        ]
        self._logs = [JsonLog(program.log) for program in self._programs]

    def start(self) -> None:
        """Start all of them."""
        for program in self._programs:
            program.start()

    async def stop(self) -> None:
        """Let them drain, and end."""
        await asyncio.gather(*(program.stop() for program in self._programs))

    def read(self) -> None:
        """Take in what they have logged since."""
        for log in self._logs:
            for line in log.new_lines():
                if line.get("event") == "batch":
                    self.batches.append(batch_of(line))
                    self.committed += line["size"]
                elif line.get("event") == "worker started":
                    self._workers.add(line["pid"])

    def check(self) -> None:
        """Raise ProgramFailed when one of them has ended."""
        for program in self._programs:
            program.check()

    def processes(self) -> tuple[list[psutil.Process], list[psutil.Process]]:
        """Return its workers, and the others, which look after them."""
        everyone = [process for program in self._programs for process in family(program.pid)]
        workers = self._workers or {program.pid for program in self._programs}
        return (
            [process for process in everyone if process.pid in workers],
            [process for process in everyone if process.pid not in workers],
        )


def batch_of(line: Mapping[str, Any]) -> Batch:
    """Return what a line of a log says of a batch."""
    return Batch(
        at=datetime.fromisoformat(line["timestamp"]).timestamp(),
        size=line["size"],
        flushed_by=line.get("flushed_by"),
        commit_ms=line.get("commit_ms"),
        parked=line.get("parked", 0),
    )


def family(pid: int | None) -> list[psutil.Process]:
    """Return a process and all that descend from it, as far as they are there."""
    if pid is None:
        return []
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@asynccontextmanager
async def running(contestant: Contestant, directory: Path) -> AsyncIterator[Running]:
    """Start a contestant, and end it."""
    run = Running(contestant, directory)
    run.start()
    try:
        yield run
    finally:
        await run.stop()


def settings_of(workload: Workload, **options: Any) -> Stream:
    """Return the service's settings for a workload's queue.

    Args:
        workload: whose queue it is.
        options: such as ``batch_size``; None stands for the default.

    Raises:
        ValueError: settings that cannot work; the text says why.
    """
    kind = Bill if workload.stream == "bill" else Dlr
    try:
        return kind(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        problems = (problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        raise ValueError("; ".join(problems)) from None


def service(place: Place, workload: Workload, settings: Stream, workers: int) -> Contestant:
    """Return this project's service; ``settings`` are those of the workload's queue."""
    given = settings.model_dump(exclude_unset=True)
    return Contestant(
        name=SERVICE,
        command=(sys.executable, "-m", "service", "run"),
        variables={
            **place.environment,
            **{variable_of(workload.stream, name): str(value) for name, value in given.items()},
            "BILLING_WORKERS": str(workers),
            "BILLING_HTTP_PORT": "0",
            "BILLING_LOG_FORMAT": "json",
        },
        settings={"workers": workers, **settings.model_dump(include=_TOLD)},
        is_service=True,
    )
