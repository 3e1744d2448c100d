"""``python -m bench compare A.json B.json``."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.compare.recording import Incomparable, Recording
from bench.compare.verdict import ENOUGH_RUNS, Change, Pairing, Verdict, pair, warnings
from bench.lab.result import label

_STYLES = {Verdict.WORSE: "bold red", Verdict.BETTER: "green", Verdict.SAME: "", Verdict.NONE: ""}

BeforeArgument = Annotated[Path, typer.Argument(metavar="A.json", help="What was.")]
AfterArgument = Annotated[Path, typer.Argument(metavar="B.json", help="What is now.")]


def compare_command(before: BeforeArgument, after: AfterArgument) -> None:
    """Compare two results of the same command: is B slower than A, or does it cost more CPU?

    Events a second, CPU an event and the latency of paced events decide, the service's alone. One
    of them is worse when its medians differ by more than 3 %, and every run in B is worse than
    every run in A: what the runs of one file differ by among themselves is noise. With fewer than
    three runs in a file there is no telling the noise, and the medians must differ by more than
    10 %; --repeats 5 is a good number. Of tune only the cells with so many runs count. Only what
    had the same workload is compared. Another machine, other servers and other settings are told,
    and compared all the same.

    Exit codes: 0 B is no worse; 1 B is worse beyond the noise; 2 they cannot be compared: one is
    void, they are of other commands, or nothing in them had the same workload.
    """
    console = Console(highlight=False)
    try:
        first, second = Recording.read(before), Recording.read(after)
        pairings = pair(first, second)
    except Incomparable as error:
        print(f"bench compare: cannot be compared: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    show(console, pairings, list(warnings(first, second)))
    raise typer.Exit(1 if any(pairing.is_worse for pairing in pairings) else 0)


def show(console: Console, pairings: Sequence[Pairing], doubts: Sequence[str]) -> None:
    """Print a table for each contestant, what is doubtful, and the verdict."""
    for pairing in pairings:
        console.print(_table(pairing), "")
    for doubt in doubts:
        console.print(f"not the same: {doubt}", style="yellow", markup=False, soft_wrap=True)
    if any(change.is_blind for pairing in pairings for change in pairing.changes):
        console.print(
            f"fewer than {ENOUGH_RUNS} runs: the noise is not known, and only changes of more than "
            "10 % count",
            style="yellow",
        )
    worse = [pairing.key.contestant for pairing in pairings if pairing.is_worse]
    if worse:
        console.print(f"WORSE beyond the noise: {', '.join(worse)}", style="bold red")
    else:
        console.print("no worse, as far as the noise lets be seen", style="bold green")


def _table(pairing: Pairing) -> Table:
    events = json.loads(pairing.key.workload).get("events", 0)
    title = f"{pairing.key.contestant}, {events:,} events"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=title, title_justify="left")
    table.show_edge = table.pad_edge = False
    table.add_column("figure")
    for column in ("A", "B", "change", "noise"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for change in pairing.changes:
        verdict = change.verdict
        table.add_row(*_cells(change), verdict.value, style=_STYLES[verdict])
    return table


def _cells(change: Change) -> list[str]:
    return [
        label(change.figure),
        f"{median(change.before):,.6g}",
        f"{median(change.after):,.6g}",
        "" if change.share is None else f"{change.share:+.1%}",
        "?" if change.noise is None else f"\N{PLUS-MINUS SIGN}{change.noise:.1%}",
    ]
