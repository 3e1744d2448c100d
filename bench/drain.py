"""``python -m bench drain``: how fast a full queue is drained, and what it costs."""

from typing import Annotated

import typer

from bench.lab import command
from bench.lab.contestant import Contestant, service, settings_of
from bench.lab.drain import drain
from bench.lab.machine import CORES
from bench.lab.place import Place
from bench.lab.result import Result
from bench.lab.screen import Screen
from bench.lab.workload import Kind, Workload


def drain_command(
    *,
    kind: Annotated[
        Kind,
        typer.Option(
            help="json: receipts of the JSON contract. native: a stock Jasmin's, to be linked by "
            "operator id. answers: a stock Jasmin's submit answers with their receipts. bill: the "
            "JSON contract's charges."
        ),
    ] = Kind.JSON,
    events: Annotated[int, typer.Option(min=1, help="Events to drain.")] = 300_000,
    cdrs: command.CdrsOption = 1_000_000,
    accounts: command.AccountsOption = 1000,
    refunds: Annotated[
        float, typer.Option(min=0, max=1, help="Share of charges that are refunded.")
    ] = 0.05,
    workers: command.WorkersOption = CORES,
    batch_size: command.BatchSizeOption = None,
    prefetch: command.PrefetchOption = None,
    flush_ms: command.FlushMsOption = None,
    receipt_log: command.ReceiptLogOption = False,
    repeats: command.RepeatsOption = 1,
    seed: command.SeedOption = 1,
    output: command.OutputOption = None,
    directory: command.DirectoryOption = None,
    amqp_url: command.AmqpUrlOption = None,
    database_url: command.DatabaseUrlOption = None,
    queue_type: command.QueueTypeOption = "quorum",
) -> None:
    """Fill the queue while nobody consumes it, then drain it: events/s, CPU, batches, commits.

    The result counts only if every event is found again, once, in the database. Exit codes: 0 it
    is; 1 it is not, or the run failed; 2 usage.
    """
    where = command.PlaceOptions(directory, amqp_url, database_url, queue_type)
    try:
        workload = Workload(kind, events, cdrs, accounts, refunds, seed)
        settings = settings_of(
            workload,
            batch_size=batch_size,
            prefetch=prefetch,
            flush_ms=flush_ms,
            queue_type=queue_type,
            receipt_log=None if kind is Kind.BILL else receipt_log,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    async def story(screen: Screen) -> Result:
        async with where.open(screen) as place:
            contestant = service(place, workload, settings, workers)
            return await measure(place, workload, contestant, repeats)

    command.run("drain", story, output)


async def measure(place: Place, workload: Workload, contestant: Contestant, repeats: int) -> Result:
    """Drain as often as told."""
    result = Result("drain")
    for number in range(1, repeats + 1):
        place.screen.tell(f"run {number} of {repeats}")
        measurement = await drain(place, workload, contestant)
        place.screen.tell(f"{measurement.rate or 0:,.0f} events/s")
        result.measurements.append(measurement)
    result.place = await place.describe()
    return result
