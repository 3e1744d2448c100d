"""Conducts a run: servers, story, result, exit code."""

import logging
import shutil
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import typer
import uvloop
from rich.console import Console

from bench import PROJECT
from bench.chaos.result import Result
from bench.lab.failures import leaves
from bench.lab.screen import Screen
from bench.stack import StackError
from bench.stack.program import ProgramFailed

RESULTS: Final = PROJECT / "bench" / "results"
FAILURES: Final = (StackError, ProgramFailed)
S = TypeVar("S")


def conduct(
    servers: Callable[[Callable[[str], None]], AbstractContextManager[tuple[S, Path]]],
    story: Callable[[S, Path, Screen], Coroutine[Any, Any, Result]],
    name: str,
    title: str,
    output: Path,
) -> NoReturn:
    """Start servers, run a story on them, show and write what it came to; exit.

    Args:
        servers: starts them, in a directory of their own; is given who is told of each step.
        story: what is done, with the servers and their directory.
        name: of what is run, for what is said of it.
        title: what is said of it first.
        output: JSON file of the result.
    """
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # it complains of what we do to it
    console = Console(highlight=False)
    console.print(f"{name}: {title}", style="bold")
    try:
        with Screen(console) as screen, servers(screen.tell) as (started, place):
            with _logs_of_failures(place, output):
                result = uvloop.run(story(started, place, screen))
            result.figures["seconds"] = round(screen.seconds, 1)
            if not result.passed:
                logs = _save_logs(place, output)
    except KeyboardInterrupt:
        _end(name, "interrupted; everything is stopped", 130)
    except FAILURES as failure:
        _end(name, str(failure), 1)
    except BaseExceptionGroup as group:
        expected, others = group.split(FAILURES)
        if expected is None or others is not None:
            raise
        _end(name, "\n".join(str(leaf) for leaf in leaves(expected)), 1)
    result.write(output)
    result.show(console)
    console.print(f"written: {output}")
    if not result.passed:
        console.print(f"logs: {logs}")
    raise typer.Exit(0 if result.passed else 1)


@contextmanager
def _logs_of_failures(place: Path, output: Path) -> Iterator[None]:
    """Save the logs of a story that fails, before the servers' directory goes."""
    try:
        yield
    except Exception:
        print(f"logs: {_save_logs(place, output)}", file=sys.stderr)
        raise


def _save_logs(place: Path, output: Path) -> Path:
    """Keep the logs of the service and of the broker beside the result; return their directory."""
    logs = output.with_suffix(".logs")
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    for log in place.glob("**/*.log"):
        shutil.copy(log, logs / "-".join(log.relative_to(place).parts))
    return logs


def _end(name: str, text: str, code: int) -> NoReturn:
    print(f"{name}: {text}", file=sys.stderr)
    sys.exit(code)
