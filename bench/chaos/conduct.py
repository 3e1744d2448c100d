"""Conducts a run: servers, story, result, exit code."""

import logging
import shutil
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
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
    title: str,
    output: Path,
) -> NoReturn:
    """Start servers, run a story on them, show and write what it came to; exit.

    Args:
        servers: starts them, in a directory of their own; is given who is told of each step.
        story: what is done, with the servers and their directory.
        title: what is said first.
        output: JSON file of the result.
    """
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # it complains of what we do to it
    console = Console(highlight=False)
    console.print(title, style="bold")
    try:
        with Screen(console) as screen, servers(screen.tell) as (started, place):
            result = uvloop.run(story(started, place, screen))
            result.figures["seconds"] = round(screen.seconds, 1)
            if not result.passed:
                logs = _save_logs(place, output)
    except KeyboardInterrupt:
        _end("interrupted; everything is stopped", 130)
    except FAILURES as failure:
        _end(str(failure), 1)
    except BaseExceptionGroup as group:
        expected, others = group.split(FAILURES)
        if expected is None or others is not None:
            raise
        _end("\n".join(str(leaf) for leaf in leaves(expected)), 1)
    result.write(output)
    result.show(console)
    console.print(f"written: {output}")
    if not result.passed:
        console.print(f"logs of the service: {logs}")
    raise typer.Exit(0 if result.passed else 1)


def _save_logs(place: Path, output: Path) -> Path:
    """Keep the service's logs beside the result; return their directory."""
    logs = output.with_suffix(".logs")
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    for log in place.glob("**/service-*.log"):
        name = "-".join(log.relative_to(place).parts)
        shutil.copy(log, logs / name)
    return logs


def _end(text: str, code: int) -> NoReturn:
    print(f"chaos: {text}", file=sys.stderr)
    sys.exit(code)
