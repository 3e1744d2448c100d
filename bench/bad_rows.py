"""``python -m bench.bad_rows``: what rows cost that only the database can refuse.

Writes batches of receipts, a few of which violate a CHECK constraint, and the same batches without
such rows, in turn; prints the ratio of the times. It is the way from decoded events to COMMIT that
is measured, without the broker.
"""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import asyncpg
import typer

from bench.stack import Stack
from service.broker.delivery import Delivery
from service.events.decode import DlrDecoder
from service.events.records import DlrEvent
from service.settings import Dlr, Refund
from service.store.batches import Arrival, Batches
from service.store.circuit import Circuit
from service.store.dlr_writer import DlrWriter
from service.store.migrate import migrate
from service.store.money import Money
from service.store.refund_policy import RefundPolicy

_BAD: Final = "BAD"
_NOWHERE: Final = b"\0\0"  # exchange and routing key
_NOTHING: Final = b"\0\0"  # property flags


def main(
    events: Annotated[int, typer.Option(min=1, help="Receipts in a run.")] = 10_000,
    bad: Annotated[int, typer.Option(min=0, help="Of which so many are refused.")] = 100,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each kind, in turn.")] = 5,
) -> None:
    """Compare batches with bad rows in them to the same batches without."""
    with tempfile.TemporaryDirectory(prefix="bad-rows-", dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        with Stack(Path(place)) as stack:
            url = stack.postgres.dsn()
            migrate(url, lambda _: None)
            asyncio.run(compare(url, events, bad, repeats))


async def compare(url: str, events: int, bad: int, repeats: int) -> None:
    """Print the times and their ratios."""
    async with asyncpg.create_pool(url) as pool:
        await pool.execute(
            f"ALTER TABLE sms_cdr ADD CONSTRAINT no_bad_code CHECK (error_code <> '{_BAD}')"
        )
        await measure(pool, events, 0)  # for the caches
        ratios = []
        for _ in range(repeats):
            clean, dirty = await measure(pool, events, 0), await measure(pool, events, bad)
            ratios.append(dirty / clean)
            print(
                f"clean {events / clean:8,.0f}/s   with {bad} bad {events / dirty:8,.0f}/s   "
                f"{dirty / clean:5.1f} times as long"
            )
    print(
        f"median {statistics.median(ratios):.1f} times, from {min(ratios):.1f} to {max(ratios):.1f}"
    )


async def measure(pool: asyncpg.Pool, events: int, bad: int) -> float:
    """Return the seconds that it takes to write all of them, in batches of the default size."""
    await pool.execute("TRUNCATE sms_cdr, billing_receipt_log")
    await pool.execute(
        "INSERT INTO sms_cdr (message_id) SELECT 'm' || n FROM generate_series(1, $1) n", events
    )
    await pool.execute("VACUUM ANALYZE sms_cdr")
    settings = Dlr()
    arrivals = [arrival(number, events, bad) for number in range(1, events + 1)]
    money = Money(RefundPolicy(Refund()), debits=False, patience=1.0)
    batches = Batches(
        pool,
        DlrWriter(money, receipt_log=settings.receipt_log),
        Circuit(lambda: pool.execute("SELECT 1")),
    )
    refused = 0
    began = time.perf_counter()
    for start in range(0, events, settings.batch_size):
        results = await batches.write(arrivals[start : start + settings.batch_size])
        refused += sum(isinstance(result, Exception) for result in results)
    seconds = time.perf_counter() - began
    settled = await pool.fetchval("SELECT count(*) FROM sms_cdr WHERE status = 'failed'")
    if (refused, settled) != (bad, events - bad):
        raise RuntimeError(f"{refused} were refused and {settled} settled: this run is void")
    return seconds


def arrival(number: int, events: int, bad: int) -> Arrival[DlrEvent]:
    """Return a receipt; the bad ones are spread evenly."""
    is_bad = number * bad // events != (number - 1) * bad // events
    body = {
        "message_id": f"m{number}",
        "status": "UNDELIV",
        "pdu_type": "deliver_sm",
        "dlr_details": {"err": _BAD if is_bad else "001"},
    }
    delivery = Delivery(
        number, redelivered=False, route=_NOWHERE, header=_NOTHING, body=json.dumps(body).encode()
    )
    [event] = DlrDecoder(ZoneInfo("UTC"), 65_536)([delivery])
    return Arrival(delivery, event)


if __name__ == "__main__":
    typer.run(main)
