"""``python -m bench load``: how long it takes from publishing to commit at a steady rate."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from bench.lab import command
from bench.lab.contestant import Contestant, service, settings_of
from bench.lab.database import Unusable
from bench.lab.drain import drain
from bench.lab.load import load, must_keep_commit_times
from bench.lab.machine import CORES
from bench.lab.place import Place
from bench.lab.result import Result
from bench.lab.screen import Screen
from bench.lab.traffic import Traffic
from bench.lab.workload import Kind, Workload

_CEILING_EVENTS: Final = 100_000

_KindOption = Annotated[
    Literal["json", "native"],
    typer.Option(
        help="json: receipts of the JSON contract. native: a stock Jasmin's, to be linked by "
        "operator id."
    ),
]
_RateOption = Annotated[
    float | None,
    typer.Option(min=1, help="Events a second.", show_default="half of what a drain reaches"),
]


@dataclass
class LoadResult(Result):
    """What a load came to.

    Attributes:
        page: locust's own report, with charts: HTML.
    """

    page: str = ""

    def write(self, path: Path) -> None:
        """Write JSON and CSV, and locust's report beside them. Raises OSError."""
        super().write(path)
        path.with_suffix(".html").write_text(self.page)


def load_command(
    *,
    kind: _KindOption = "json",
    rate: _RateOption = None,
    seconds: Annotated[float, typer.Option(min=1, help="For how long.")] = 30.0,
    cdrs: command.CdrsOption = 1_000_000,
    accounts: command.AccountsOption = 1000,
    workers: command.WorkersOption = CORES,
    batch_size: command.BatchSizeOption = None,
    prefetch: command.PrefetchOption = None,
    flush_ms: command.FlushMsOption = None,
    receipt_log: command.ReceiptLogOption = command.RECEIPT_LOG,
    web: Annotated[bool, typer.Option("--web", help="Show locust's page meanwhile.")] = False,
    web_port: Annotated[int, typer.Option(min=1, help="Its port on 127.0.0.1.")] = 8089,
    seed: command.SeedOption = 1,
    output: command.OutputOption = None,
    directory: command.DirectoryOption = None,
    amqp_url: command.AmqpUrlOption = None,
    database_url: command.DatabaseUrlOption = None,
    queue_type: command.QueueTypeOption = "quorum",
) -> None:
    """Publish at a steady rate: publish-to-commit percentiles, and what idle workers cost.

    The rate never gives way: an event's latency counts from when it was due, however late it was
    published. A given database needs track_commit_timestamp = on. The result counts only if every
    event is found again, once, in the database. Exit codes: 0 it is; 1 it is not, or the run
    failed; 2 usage.
    """
    where = command.PlaceOptions(directory, amqp_url, database_url, queue_type)
    try:
        ceiling = Workload(Kind(kind), min(_CEILING_EVENTS, cdrs), cdrs, accounts, seed=seed)
        settings = settings_of(
            ceiling,
            batch_size=batch_size,
            prefetch=prefetch,
            flush_ms=flush_ms,
            queue_type=queue_type,
            receipt_log=receipt_log,
        )
        traffic = None if rate is None else traffic_at(rate, seconds, ceiling)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    async def story(screen: Screen) -> LoadResult:
        async with where.open(screen) as place:
            contestant = service(place, ceiling, settings, workers)
            chosen = traffic or await half_of_ceiling(place, ceiling, contestant, seconds)
            loaded = await load(place, chosen, contestant, web_port if web else None)
            return LoadResult("load", [loaded.measurement], await place.describe(), loaded.page)

    command.run("load", story, output)


async def half_of_ceiling(
    place: Place, workload: Workload, contestant: Contestant, seconds: float
) -> Traffic:
    """Return traffic at half the rate of a drain, for as long as there are CDRs for.

    Raises:
        Unusable: the load could not be measured here, or the drain does not add up.
    """
    await must_keep_commit_times(place)
    measurement = await drain(place, workload, contestant)
    if measurement.is_void or measurement.rate is None:
        raise Unusable("the drain that the rate follows from is void: look at `bench drain`")
    rate = round(measurement.rate / 2, 1)
    place.screen.tell(f"a drain reaches {measurement.rate:,.0f} events/s; half of it is published")
    return traffic_at(rate, min(seconds, workload.cdrs / rate), workload)


def traffic_at(rate: float, seconds: float, workload: Workload) -> Traffic:
    """Return so many seconds of events like a workload's. Raises ValueError: too few CDRs."""
    return Traffic(replace(workload, events=max(1, int(rate * seconds))), rate)
