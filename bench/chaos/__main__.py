"""``python -m bench.chaos run`` and ``python -m bench.chaos outage``."""

import logging
import random
import shutil
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
import uvloop
from rich.console import Console

from bench import PROJECT
from bench.chaos import scenarios, schedule
from bench.chaos.faults import FAULTS
from bench.chaos.result import Result
from bench.chaos.scenarios import Options
from bench.lab.failures import leaves
from bench.lab.screen import Screen
from bench.stack import Stack, StackError
from bench.stack.program import ProgramFailed
from bench.stack.temporary import temporary_stack

_NAMES: Final = [fault.name for fault in FAULTS]
_SHORT_EVENTS: Final = 10_000
_SHORT_RATE: Final = 300.0
# The service notices some faults within a minute only.
_SHORT_FAULTS: Final = frozenset(fault.name for fault in FAULTS if not fault.heals_slowly)
_RESULTS: Final = PROJECT / "bench" / "results"

FAILURES: Final = (StackError, ProgramFailed)
Story = Callable[[Stack, Path, Screen], Coroutine[Any, Any, Result]]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


def _must_have_service(code: Path) -> Path:
    """Else Python would find the package of this project, and that would be tested instead."""
    if not (code / "service" / "__main__.py").exists():
        raise typer.BadParameter(f"{code} has no package `service`")
    return code.resolve()


SeedOption = Annotated[
    int | None, typer.Option(help="Repeats a run's plan and faults.", show_default="random")
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Worker processes of the service.")]
OutputOption = Annotated[
    Path | None, typer.Option(help="JSON file.", show_default="bench/results/SCENARIO-SEED.json")
]
KeepOption = Annotated[bool, typer.Option("--keep", help="Leave servers' data and logs there.")]
DirectoryOption = Annotated[Path | None, typer.Option(help="Where servers keep their data.")]
CodeOption = Annotated[
    Path,
    typer.Option(
        help="Test the package `service` of this directory.",
        callback=_must_have_service,
        show_default="this one",
    ),
]


@app.command("run")
def run_chaos(
    *,
    events: Annotated[int, typer.Option(min=1000, help="Messages to publish.")] = 200_000,
    seed: SeedOption = None,
    rate: Annotated[
        float | None, typer.Option(min=1, help="Messages per second.", show_default="1000")
    ] = None,
    workers: WorkersOption = 2,
    faults: Annotated[bool, typer.Option(help="Whether anything is broken.")] = True,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Kind of fault; repeat it. {', '.join(_NAMES)}")
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="The two-minute version, with fewer events.")
    ] = False,
    minutes: Annotated[float, typer.Option(min=0.1, help="Publish for so long at most.")] = 15,
    output: OutputOption = None,
    keep: KeepOption = False,
    directory: DirectoryOption = None,
    code: CodeOption = PROJECT,
) -> None:
    """Break everything at random while events come in, then compare every event and cent.

    Exit codes: 0 no difference; 1 differences, or the run itself failed; 2 usage.
    """
    if unknown := set(only or ()) - set(_NAMES):
        raise typer.BadParameter(f"no such fault: {', '.join(sorted(unknown))}")
    kinds = frozenset(only or (_SHORT_FAULTS if short else _NAMES))
    options = Options(
        events=min(events, _SHORT_EVENTS) if short else events,
        seed=_seed(seed),
        rate=rate or (_SHORT_RATE if short else 1000.0),
        workers=workers,
        faults=kinds if faults else frozenset(),
        tempo=schedule.SHORT if short else schedule.STEADY,
        minutes=minutes,
        code=code,
    )
    _run(
        lambda stack, place, screen: scenarios.chaos(stack, place, options, screen),
        f"chaos: seed {options.seed}, {options.events:,} events at {options.rate:,.0f}/s",
        output or _RESULTS / f"chaos-{options.seed}.json",
        directory,
        keep=keep,
    )


@app.command("outage")
def run_outage(
    *,
    seconds: Annotated[float, typer.Option(min=1, help="How long the database is away.")] = 60,
    rate: Annotated[float, typer.Option(min=1, help="Messages per second.")] = 2000,
    seed: SeedOption = None,
    workers: WorkersOption = 2,
    output: OutputOption = None,
    keep: KeepOption = False,
    directory: DirectoryOption = None,
    code: CodeOption = PROJECT,
) -> None:
    """Take the database away under load: no dead letters, few redeliveries, time to recover.

    Exit codes: as of `run`.
    """
    options = Options(
        events=int(rate * seconds * 1.5),
        seed=_seed(seed),
        rate=rate,
        workers=workers,
        faults=frozenset(),
        tempo=schedule.STEADY,
        minutes=60,
        code=code,
    )
    _run(
        lambda stack, place, screen: scenarios.outage(stack, place, options, seconds, screen),
        f"outage: seed {options.seed}, {seconds:g} s at {rate:,.0f} events/s",
        output or _RESULTS / f"outage-{options.seed}.json",
        directory,
        keep=keep,
    )


def _seed(given: int | None) -> int:
    return random.SystemRandom().randrange(10**6) if given is None else given


def _run(story: Story, title: str, output: Path, directory: Path | None, *, keep: bool) -> None:
    """Start servers, run a scenario on them, show and write what it came to; exit."""
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # it complains of what we do to it
    console = Console(highlight=False)
    console.print(title, style="bold")
    try:
        with (
            Screen(console) as screen,
            temporary_stack("chaos", directory, screen.tell, keep=keep) as (stack, place),
        ):
            result = uvloop.run(story(stack, place, screen))
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
    for log in place.glob("service-*.log"):
        shutil.copy(log, logs)
    return logs


def _end(text: str, code: int) -> NoReturn:
    print(f"chaos: {text}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    app()
