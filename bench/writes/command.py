"""``python -m bench writes``: what it costs to write a batch of receipts, way by way."""

from collections.abc import Sequence
from typing import Annotated

import typer

from bench.lab import command
from bench.lab.database import Database
from bench.lab.screen import Screen
from bench.lab.workload import Workload
from bench.writes.costs import Costs
from bench.writes.measure import Order, Task, explain, measure
from bench.writes.ways import WAYS
from service.settings import Dlr


def writes_command(
    *,
    events: Annotated[int, typer.Option(min=1, help="Receipts that each run writes.")] = 100_000,
    cdrs: command.CdrsOption = 1_000_000,
    batch_sizes: Annotated[
        str, typer.Option(help="Receipts in a transaction, each to be tried.", metavar="N,N,…")
    ] = "100,300,1000,3000,10000",
    fillfactor: Annotated[
        int | None,
        typer.Option(
            min=10, max=100, help="Of the CDRs' pages.", show_default="what the migrations set"
        ),
    ] = None,
    order: Annotated[
        Order,
        typer.Option(help="Rows of a batch by message id, as the service does, or as they come."),
    ] = "key",
    with_plan: Annotated[
        bool,
        typer.Option(
            "--explain", help="Also EXPLAIN (ANALYZE, BUFFERS, WAL) a batch of the service's size."
        ),
    ] = False,
    repeats: command.RepeatsOption = 3,
    seed: command.SeedOption = 1,
    output: command.OutputOption = None,
    directory: command.DirectoryOption = None,
    database_url: command.DatabaseUrlOption = None,
) -> None:
    """Write the same receipts in different ways and batch sizes, without the broker.

    texts: a text for each column, as the service does. arrays: an array for each column. copy: COPY
    into a temporary table. All end in the same UPDATE. Each run begins with fresh tables; ways take
    turns. A run counts only if every CDR is found as it must be. Exit codes: 0 all do; 1 one does
    not, or the run failed; 2 usage.
    """
    try:
        workload = Workload(events=events, cdrs=cdrs, seed=seed, fillfactor=fillfactor)
        tasks = [Task(workload, size, order) for size in sizes_of(batch_sizes, events)]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    async def story(screen: Screen) -> Costs:
        async with command.open_database(directory, database_url, screen) as database:
            return await play(database, tasks, repeats, with_plan=with_plan)

    command.run("writes", story, output)


def sizes_of(text: str, events: int) -> tuple[int, ...]:
    """Return the batch sizes that an option names. Raises ValueError."""
    sizes = command.numbers(text)
    if not 0 < sizes[0] <= sizes[-1] <= events:
        raise ValueError(f"batch-sizes: {text}: expected 1 to {events:,}, the events of a run")
    return sizes


async def play(
    database: Database, tasks: Sequence[Task], repeats: int, *, with_plan: bool
) -> Costs:
    """Let all ways do each task in turn, as often as told."""
    costs = Costs("writes")
    if with_plan:
        costs.plan = await explain(database, tasks[0]._replace(batch_size=Dlr().batch_size))
    for number in range(1, repeats + 1):
        for task in tasks:
            for way in WAYS:
                measurement = await measure(database, task, way)
                costs.measurements.append(measurement)
                database.screen.tell(
                    f"round {number} of {repeats}: {measurement.contestant}: "
                    f"{measurement.rate:,.0f} rows/s"
                )
    costs.place = await database.describe()
    return costs
