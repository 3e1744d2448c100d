"""``python -m bench.chaos run`` and ``python -m bench.chaos outage``."""

import random
from pathlib import Path
from typing import Annotated, Final

import typer

from bench import PROJECT
from bench.chaos import scenarios, schedule
from bench.chaos.conduct import RESULTS, conduct
from bench.chaos.faults import FAULTS
from bench.chaos.scenarios import Options
from bench.stack.temporary import temporary_stack
from service.settings import ChargeMode

_NAMES: Final = [fault.name for fault in FAULTS]
_SHORT_EVENTS: Final = 10_000
_SHORT_RATE: Final = 300.0
# The service notices some faults within a minute only.
_SHORT_FAULTS: Final = frozenset(fault.name for fault in FAULTS if not fault.heals_slowly)

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
ChargeModeOption = Annotated[ChargeMode, typer.Option(help="Of the service: bill.charge_mode.")]
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
    charge_mode: ChargeModeOption = "confirm",
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
        debits=charge_mode == "debit",
        code=code,
    )
    conduct(
        lambda tell: temporary_stack("chaos", directory, tell, keep=keep),
        lambda stack, place, screen: scenarios.chaos(stack, place, options, screen),
        "chaos",
        f"seed {options.seed}, {options.events:,} events at {options.rate:,.0f}/s",
        output or RESULTS / f"chaos-{options.seed}.json",
    )


@app.command("outage")
def run_outage(
    *,
    seconds: Annotated[float, typer.Option(min=1, help="How long the database is away.")] = 60,
    rate: Annotated[float, typer.Option(min=1, help="Messages per second.")] = 2000,
    seed: SeedOption = None,
    workers: WorkersOption = 2,
    charge_mode: ChargeModeOption = "confirm",
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
        debits=charge_mode == "debit",
        code=code,
    )
    conduct(
        lambda tell: temporary_stack("chaos", directory, tell, keep=keep),
        lambda stack, place, screen: scenarios.outage(stack, place, options, seconds, screen),
        "outage",
        f"seed {options.seed}, {seconds:g} s at {rate:,.0f} events/s",
        output or RESULTS / f"outage-{options.seed}.json",
    )


def _seed(given: int | None) -> int:
    return random.SystemRandom().randrange(10**6) if given is None else given


if __name__ == "__main__":
    app()
