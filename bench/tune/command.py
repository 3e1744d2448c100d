"""``python -m bench tune``: which settings to run with."""

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, Self

import typer

from bench.lab import command
from bench.lab.machine import CORES
from bench.lab.screen import Screen
from bench.lab.workload import Kind, Workload
from bench.tune.cell import Axes, Grid, admit
from bench.tune.search import Budget, Search
from bench.tune.tuning import Tuning
from service.quantities import quantity

_LATENCY: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")


class _Extent(NamedTuple):
    """What is tried, where no option says otherwise."""

    minutes: float
    events: int
    cdrs: int
    batch_sizes: str
    prefetch: str
    workers: str
    flush_ms: str
    paced_seconds: float

    def given(self, **options: Any) -> Self:
        """Return it with what options say otherwise; None says nothing."""
        return self._replace(**{name: v for name, v in options.items() if v is not None})

    def axes(self) -> Axes:
        """Return the settings to be tried. Raises ValueError."""
        axes = (self.batch_sizes, self.prefetch, self.workers, self.flush_ms)
        return Axes(*map(command.numbers, axes))


_FULL: Final = _Extent(
    *(20, 200_000, 1_000_000),
    *("250,500,1000", "1000,2000", f"1,{CORES}", "25,100"),
    paced_seconds=15,
)
_QUICK: Final = _Extent(
    *(2, 40_000, 100_000), *("250,500,1000", "2000", str(CORES), "100"), paced_seconds=0
)
# What can be published at a steady rate.
_PACED: Final = (Kind.JSON, Kind.NATIVE)


def _axis(name: str, default: str) -> Any:
    return typer.Option(help=f"{name} to try.", show_default=default, metavar="N,N,…")


_BatchSizesOption = Annotated[str | None, _axis("Batch sizes", _FULL.batch_sizes)]
_PrefetchOption = Annotated[str | None, _axis("Prefetches", _FULL.prefetch)]
_WorkersOption = Annotated[str | None, _axis("Numbers of workers", _FULL.workers)]
_FlushMsOption = Annotated[str | None, _axis("Flush intervals", _FULL.flush_ms)]
_P99Option = Annotated[
    str, typer.Option(help="What publish to commit may take for 99 % of the events.")
]
_MinutesOption = Annotated[
    float | None,
    typer.Option(min=0, help="For all of it, about.", show_default=f"{_FULL.minutes:g}"),
]
_QuickOption = Annotated[
    bool,
    typer.Option(
        "--quick", help="Two minutes: fewer cells, events and CDRs, latencies are derived."
    ),
]
_PacedSecondsOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="For how long latencies are measured, twice with each finalist; 0 derives them.",
        show_default=f"{_FULL.paced_seconds:g}",
    ),
]
_EventsOption = Annotated[
    int | None,
    typer.Option(min=1, help="In a finalist's drain.", show_default=f"{_FULL.events}"),
]
_CdrsOption = Annotated[
    int | None, typer.Option(min=1, help="CDRs that there are.", show_default=f"{_FULL.cdrs}")
]
_ReportOption = Annotated[
    Path | None, typer.Option(help="HTML file.", show_default="beside the JSON file")
]


def tune_command(
    *,
    batch_sizes: _BatchSizesOption = None,
    prefetch: _PrefetchOption = None,
    workers: _WorkersOption = None,
    flush_ms: _FlushMsOption = None,
    p99: _P99Option = "250ms",
    minutes: _MinutesOption = None,
    quick: _QuickOption = False,
    paced_seconds: _PacedSecondsOption = None,
    kind: Annotated[Kind, typer.Option(help="What is drained, as in `drain`.")] = Kind.JSON,
    events: _EventsOption = None,
    cdrs: _CdrsOption = None,
    receipt_log: command.ReceiptLogOption = command.RECEIPT_LOG,
    repeats: Annotated[int, typer.Option(min=1, help="Drains of each finalist, at most.")] = 7,
    seed: command.SeedOption = 1,
    output: command.OutputOption = None,
    report: _ReportOption = None,
    directory: command.DirectoryOption = None,
    amqp_url: command.AmqpUrlOption = None,
    database_url: command.DatabaseUrlOption = None,
    queue_type: command.QueueTypeOption = "quorum",
) -> None:
    """Try batch sizes, prefetches, workers and flush intervals; recommend settings, and say why.

    Combinations that the service would refuse are left out. The others drain a few events each, the
    better half twice as many, and so on; the last four share what is left of the time, in turn.
    Then events are published to each of these at a steady rate, half of what the fastest keeps up
    with while they are being published, to measure latencies (kinds json and native; for others p99
    is derived: flush interval + 99th percentile of the commits). The fastest that keeps the latency
    goal is recommended. Writes a report as one HTML file.

    A drain counts only if every event is found again, once, in the database. Exit codes: 0 all do;
    1 one does not, or the run failed; 2 usage.
    """
    where = command.PlaceOptions(directory, amqp_url, database_url, queue_type)
    extent = (_QUICK if quick else _FULL).given(
        minutes=minutes,
        events=events,
        cdrs=cdrs,
        batch_sizes=batch_sizes,
        prefetch=prefetch,
        workers=workers,
        flush_ms=flush_ms,
        paced_seconds=paced_seconds,
    )
    goal_ms = _milliseconds(p99)
    try:
        workload = Workload(kind, extent.events, extent.cdrs, seed=seed)
        axes = extent.axes()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    others: dict[str, Any] = {"queue_type": queue_type}
    if kind is not Kind.BILL:
        others["receipt_log"] = receipt_log
    grid = admit(axes.cells(), workload, goal_ms, **others)
    _say_refused(grid)
    tuning = Tuning("tune", workload=workload, others=others, goal_ms=goal_ms)
    tuning.refused, tuning.report = grid.refused, report

    budget = Budget(extent.minutes, repeats, extent.paced_seconds if kind in _PACED else 0)

    async def story(screen: Screen) -> Tuning:
        async with where.open(screen) as place:
            await Search(place, tuning, grid.admitted, budget).run()
        return tuning

    command.run("tune", story, output)


def _milliseconds(text: str) -> float:
    match = _LATENCY.fullmatch(text)
    if match is None or not float(match[1]):
        raise typer.BadParameter("--p99: expected a latency, as in 250ms or 1.5s")
    return float(match[1]) * (1000 if match[2] == "s" else 1)


def _say_refused(grid: Grid) -> None:
    """Say what is left out. Raises typer.BadParameter when that is all."""
    for reason, cells in Counter(refusal.reason for refusal in grid.refused).items():
        print(f"left out: {quantity(cells, 'cell')}: {reason}")
    if not grid.admitted:
        raise typer.BadParameter("the service would refuse all of these settings")
