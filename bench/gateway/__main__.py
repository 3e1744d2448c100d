"""``python -m bench.gateway``: what ``make gateway`` runs."""

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from bench import PROJECT
from bench.gateway.books import Books
from bench.gateway.run import Options, Report, run
from bench.gateway.submit import NotAccepted
from bench.lab.failures import leaves
from bench.lab.screen import Screen
from bench.stack import StackError
from bench.stack.program import ProgramFailed
from bench.stack.temporary import temporary_stack

_RESULTS: Final = PROJECT / "bench" / "results"


class Split(StrEnum):
    """How the parts of a long message are marked."""

    UDH = "udh"
    SAR = "sar"


class ChargeMode(StrEnum):
    """The service's ``bill.charge_mode``."""

    CONFIRM = "confirm"
    DEBIT = "debit"


def main(
    *,
    messages: Annotated[int, typer.Option(min=64, help="How many to send.")] = 2000,
    seed: Annotated[int, typer.Option(help="Which outcomes they ask for.")] = 1,
    split: Annotated[Split, typer.Option(help="How Jasmin marks the parts of long ones.")] = (
        Split.UDH
    ),
    capture: Annotated[
        bool, typer.Option("--capture", help="Without a gateway: the service writes the CDRs.")
    ] = False,
    charge_mode: Annotated[
        ChargeMode, typer.Option(help="With --capture: whether the service debits.")
    ] = ChargeMode.DEBIT,
    kill: Annotated[bool, typer.Option(help="Kill Jasmin and billing-service on the way.")] = True,
    output: Annotated[
        Path | None, typer.Option(help="JSON file.", show_default="bench/results/gateway-SEED.json")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave data and logs there.")] = False,
) -> None:
    """Send messages through a real Jasmin to a simulated operator, and compare what is settled.

    Exit codes: 0 all is right; 1 something differs, or the run failed; 2 usage; 130 interrupted.
    """
    console = Console(highlight=False)
    books = Books(captures=capture, debits=capture and charge_mode is ChargeMode.DEBIT)
    options = Options(messages, seed, split.value, kill, books)
    failures: list[str] = []
    code = 1
    try:
        report = _run(options, console, keep=keep)
    except* (StackError, ProgramFailed, NotAccepted) as failed:
        failures += map(str, leaves(failed))
    except* KeyboardInterrupt:
        failures.append("interrupted; everything is stopped")
        code = 130
    if failures:
        print("make gateway:", "\n".join(failures), file=sys.stderr)
        raise typer.Exit(code)
    report.result.write(output or _RESULTS / f"gateway-{seed}.json")
    report.show(console)
    raise typer.Exit(0 if report.result.passed else 1)


def _run(options: Options, console: Console, *, keep: bool) -> Report:
    with (
        Screen(console) as screen,
        temporary_stack("gateway", None, screen.tell, keep=keep) as (stack, place),
    ):
        report = asyncio.run(run(stack, place, options, screen))
        report.result.figures["seconds"] = round(screen.seconds, 1)
        return report


if __name__ == "__main__":
    typer.run(main)
