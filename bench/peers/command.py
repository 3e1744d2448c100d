"""``python -m bench peers``: the same work done by others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.lab import command
from bench.lab.contestant import service, settings_of
from bench.lab.drain import drain
from bench.lab.machine import CORES
from bench.lab.place import Place
from bench.lab.screen import Screen
from bench.lab.workload import Workload
from bench.peers.comparison import Comparison
from bench.peers.compiled import CannotCompile, compile_consumer
from bench.peers.entries import Entry, peers


def peers_command(
    *,
    events: Annotated[int, typer.Option(min=1, help="Receipts to drain.")] = 300_000,
    slow_events: Annotated[
        int, typer.Option(min=1, help="For those with a transaction for each receipt.")
    ] = 20_000,
    cdrs: command.CdrsOption = 1_000_000,
    workers: Annotated[int, typer.Option(min=1, help="Processes of each contestant.")] = CORES,
    c: Annotated[
        bool | None,
        typer.Option(
            "--with-c/--without-c",
            help="Whether a consumer in C takes part.",
            show_default="if it can be compiled",
        ),
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="Draw the result: an SVG file.")] = None,
    repeats: command.RepeatsOption = 3,
    seed: command.SeedOption = 1,
    output: command.OutputOption = None,
    directory: command.DirectoryOption = None,
    amqp_url: command.AmqpUrlOption = None,
    database_url: command.DatabaseUrlOption = None,
    queue_type: command.QueueTypeOption = "quorum",
) -> None:
    """Let others drain the same receipts in turn, and say how many times as fast the service is.

    The specification as written, FastStream, batches on plain aio-pika, and as the ceiling a bare
    UPDATE in C. All read the JSON contract. Ratios are those within one round. The result counts
    only if every event of every run is found again, once, in the database. Exit codes: 0 it is;
    1 it is not, or the run failed; 2 usage.
    """
    where = command.PlaceOptions(directory, amqp_url, database_url, queue_type)
    try:
        workload = Workload(events=events, cdrs=cdrs, seed=seed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    settings = settings_of(workload, queue_type=queue_type, receipt_log=False)

    async def story(screen: Screen) -> Comparison:
        async with where.open(screen) as place:
            consumer = _compiled(place, c)
            ours = Entry(service(place, workload, settings, workers), workload)
            others = peers(place, workload, slow_events, workers, consumer)
            return await play(place, [ours, *others], repeats, chart)

    command.run("peers", story, output)


async def play(
    place: Place, entries: Sequence[Entry], rounds: int, chart: Path | None
) -> Comparison:
    """Let everyone drain the queue once in each round.

    Raises:
        ProgramFailed: one of them ended, or commits nothing any more.
    """
    comparison = Comparison("peers", chart=chart)
    for number in range(1, rounds + 1):
        for contestant, workload in entries:
            place.screen.tell(f"round {number} of {rounds}: {contestant.name}")
            measurement = await drain(place, workload, contestant)
            place.screen.tell(f"{measurement.rate or 0:,.0f} events/s")
            comparison.measurements.append(measurement)
    comparison.place = await place.describe()
    return comparison


def _compiled(place: Place, wanted: bool | None) -> Path | None:
    """Return the consumer in C; None where it is not wanted, or cannot be had."""
    if wanted is False:
        return None
    try:
        return compile_consumer(place.directory)
    except CannotCompile as error:
        if wanted:
            raise
        place.screen.tell(f"no consumer in C takes part: {error}")
        return None
