"""``python -m bench bad-rows``: what rows cost that only the database can refuse."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import asyncpg
import orjson
import typer
from rich.console import Console

from bench.lab import command
from bench.lab.audit import count
from bench.lab.database import Database
from bench.lab.expectation import initial_status
from bench.lab.messages import publications
from bench.lab.result import Measurement, Result
from bench.lab.screen import Screen
from bench.lab.workload import Workload
from service.broker.delivery import Delivery
from service.events.decode import DlrDecoder
from service.events.records import DlrEvent
from service.settings import Dlr, Refund
from service.store.batches import Arrival, Batches
from service.store.circuit import Circuit
from service.store.dlr_writer import DlrWriter
from service.store.money import Money
from service.store.pool import SERVER_SETTINGS
from service.store.refund_policy import RefundPolicy

_BAD: Final = "BAD"
_CONSTRAINT: Final = f"ALTER TABLE sms_cdr ADD CHECK (error_code <> '{_BAD}')"
_SETTLED: Final = "SELECT count(*) FROM sms_cdr WHERE status <> $1"
_NOWHERE: Final = b"\0\0"  # exchange and routing key
_NOTHING: Final = b"\0\0"  # property flags


@dataclass
class BadRows(Result):
    """Runs without bad rows and with them, in turn."""

    @property
    def ratios(self) -> list[float]:
        """How many times as long the bad rows made it, round by round."""
        seconds = [measurement.seconds or 0.0 for measurement in self.measurements]
        pairs = zip(seconds[::2], seconds[1::2], strict=True)
        return [dirty / clean for clean, dirty in pairs]

    def content(self) -> dict[str, Any]:
        """Return it for JSON."""
        return super().content() | {"ratios": self.ratios}

    def show(self, console: Console) -> None:
        """Print figures, what differs, and how many times as long it took."""
        super().show(console)
        ratios = self.ratios
        console.print(
            f"with bad rows {statistics.median(ratios):.1f} times as long, "
            f"from {min(ratios):.1f} to {max(ratios):.1f}"
        )


def bad_rows_command(
    *,
    events: Annotated[int, typer.Option(min=1, help="Receipts that each run writes.")] = 10_000,
    bad: Annotated[int, typer.Option(min=1, help="Of which so many are refused.")] = 100,
    repeats: command.RepeatsOption = 5,
    seed: command.SeedOption = 1,
    output: command.OutputOption = None,
    directory: command.DirectoryOption = None,
    database_url: command.DatabaseUrlOption = None,
) -> None:
    """Write receipts of which a CHECK constraint refuses some, and the same without such, in turn.

    It is the way from decoded events to COMMIT, in batches of the service's size, without the
    broker. A run counts only if as many rows are refused and settled as must be. Exit codes: 0 all
    do; 1 one does not, or the run failed; 2 usage.
    """
    if bad > events:
        raise typer.BadParameter(f"bad: {bad:,} of {events:,} receipts; give fewer")
    workload = Workload(events=events, cdrs=events, seed=seed)

    async def story(screen: Screen) -> BadRows:
        async with command.open_database(directory, database_url, screen) as database:
            return await play(database, workload, bad, repeats)

    command.run("bad-rows", story, output)


async def play(database: Database, workload: Workload, bad: int, repeats: int) -> BadRows:
    """Let both kinds of run take turns, as often as told."""
    result = BadRows("bad-rows")
    await measure(database, workload, 0)  # for the caches
    for number in range(1, repeats + 1):
        for share in (0, bad):
            measurement = await measure(database, workload, share)
            result.measurements.append(measurement)
            database.screen.tell(
                f"round {number} of {repeats}: {measurement.contestant}: {measurement.rate:,.0f}/s"
            )
    result.place = await database.describe()
    return result


async def measure(database: Database, workload: Workload, bad: int) -> Measurement:
    """Write all receipts into fresh tables, in batches of the service's size."""
    await database.fresh(workload.tables)
    received = list(arrivals(workload, bad))
    size = Dlr().batch_size
    refused = 0
    async with asyncpg.create_pool(database.dsn, server_settings=SERVER_SETTINGS) as pool:
        await pool.execute(_CONSTRAINT)
        batches = _batches(pool)
        began = time.perf_counter()
        for start in range(0, len(received), size):
            outcomes = await batches.write(received[start : start + size])
            refused += sum(isinstance(outcome, Exception) for outcome in outcomes)
        seconds = time.perf_counter() - began
        settled = await pool.fetchval(_SETTLED, initial_status(workload))
    return Measurement(
        contestant=f"{bad:,} bad rows" if bad else "no bad row",
        settings={"bad": bad, "batch_size": size},
        workload=workload.describe(),
        events=workload.events,
        rate=round(workload.events / seconds, 1),
        seconds=round(seconds, 3),
        checks=[
            count("rows that were refused", bad, refused),
            count("CDRs that were settled", workload.events - bad, settled),
        ],
    )


def arrivals(workload: Workload, bad: int) -> Iterator[Arrival[DlrEvent]]:
    """Yield the receipts of a workload; those that become bad rows are spread evenly."""
    settings = Dlr()
    decode = DlrDecoder(ZoneInfo(settings.timezone), settings.max_body_bytes)
    for number, publication in enumerate(publications(workload), 1):
        body = publication.body
        if number * bad // workload.events != (number - 1) * bad // workload.events:
            contract = orjson.loads(body)
            contract["dlr_details"]["err"] = _BAD
            body = orjson.dumps(contract)
        delivery = Delivery(number, redelivered=False, route=_NOWHERE, header=_NOTHING, body=body)
        [event] = decode([delivery])
        yield Arrival(delivery, event)


def _batches(pool: asyncpg.Pool) -> Batches[DlrEvent]:
    money = Money(RefundPolicy(Refund()), debits=False, patience=1.0)
    writer = DlrWriter(money, receipt_log=Dlr().receipt_log)
    return Batches(pool, writer, Circuit(lambda: pool.execute("SELECT 1"), "here"))
