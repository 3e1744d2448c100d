"""What every run is watched with: until all is committed, and what that took."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

from bench.lab import figures
from bench.lab.contestant import Contestant, Running, family
from bench.lab.place import Place
from bench.lab.result import Measurement
from bench.lab.usage import Group, Usage, sampled
from bench.lab.workload import Workload

POLL_SECONDS: Final = 0.2
# How long to wait for the first commit, and for another one; the audit tells what is missing then.
_START_SECONDS: Final = 120.0
_STALL_SECONDS: Final = 60.0
# For what waits in the database: parked events, refunds of accounts that are busy.
_SETTLE_SECONDS: Final = 60.0
_WAITING: Final = """
    SELECT (SELECT count(*) FROM billing_parked)
         + (SELECT count(*) FROM billing_refund WHERE booked_at IS NULL)
"""


def watched(place: Place, run: Running, **others: Group) -> AbstractAsyncContextManager[Usage]:
    """Sample what workers, supervisor, broker, database and others use meanwhile."""
    return sampled(
        {
            "workers": lambda: run.processes()[0],
            "supervisor": lambda: run.processes()[1],
            "broker": lambda: family(place.broker_pid),
            "database": lambda: family(place.database.pid),
            **others,
        }
    )


async def until_committed(place: Place, run: Running, published: int) -> None:
    """Wait until as many events have been committed as were published, or nothing more is."""
    before, deadline = 0, time.monotonic() + _START_SECONDS
    while run.committed < published and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        run.read()
        run.check()
        if run.committed > before:
            before, deadline = run.committed, time.monotonic() + _STALL_SECONDS
            place.screen.progress(f"draining: {run.committed:,} of {published:,}")
    if run.committed < published:
        place.screen.tell("nothing is committed any more: not waiting any longer")


async def until_settled(place: Place) -> None:
    """Wait for what waits in the database, but not for ever: the audit tells of what is left."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_SETTLE_SECONDS), place.database.connect() as database:
            while await database.fetchval(_WAITING):  # noqa: ASYNC110 - the service's doing
                await asyncio.sleep(POLL_SECONDS)


def measurement_of(
    workload: Workload, contestant: Contestant, run: Running, usage: Usage
) -> Measurement:
    """Return the figures that batches and samples tell."""
    measurement = Measurement(
        contestant=contestant.name,
        settings=dict(contestant.settings),
        workload=workload.describe(),
        events=workload.events,
        batch=figures.batch_sizes(run.batches),
        flushed_by=figures.flush_reasons(run.batches),
        commit_ms=figures.commit_times(run.batches),
        parked=sum(batch.parked for batch in run.batches),
        peak_rss_mib=round(usage.peak_rss["workers"] / 2**20, 1),
    )
    if window := figures.window(run.batches):
        measurement.seconds = round(window.seconds, 3)
        measurement.rate = round(window.events / window.seconds, 1)
        measurement.cpu_us = {
            name: round(seconds / window.events * 1e6, 2)
            for name, seconds in usage.cpu_seconds(window.start, window.end).items()
        }
    return measurement
