"""Fill the queue while nobody consumes it, then let a contestant drain it."""

import asyncio
import time
from contextlib import suppress
from typing import Final

import asyncpg

from bench.lab import figures
from bench.lab.audit import audit
from bench.lab.contestant import Contestant, Running, family, running
from bench.lab.filler import fill
from bench.lab.place import Place
from bench.lab.result import Measurement
from bench.lab.usage import Usage, sampled
from bench.lab.workload import Workload

_POLL_SECONDS: Final = 0.2
# How long to wait for the first commit, and for another one; the audit tells what is missing then.
_START_SECONDS: Final = 120.0
_STALL_SECONDS: Final = 60.0
# For what waits in the database: parked events, refunds of accounts that are busy.
_SETTLE_SECONDS: Final = 60.0
_WAITING: Final = """
    SELECT (SELECT count(*) FROM billing_parked)
         + (SELECT count(*) FROM billing_refund WHERE booked_at IS NULL)
"""
_WAL: Final = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"


async def drain(place: Place, workload: Workload, contestant: Contestant) -> Measurement:
    """Measure one drain, from a fresh place to an empty queue, and check what came of it.

    Raises:
        ProgramFailed: the contestant ended.
    """
    await place.fresh(workload)
    published = await fill(
        place.amqp_url,
        workload,
        lambda count: place.screen.progress(f"filling: {count:,} of {workload.events:,}"),
    )
    place.screen.tell(f"{contestant.name}: draining {published:,} events")
    wal_before = await _wal(place)
    async with running(contestant, place.directory) as run:
        async with sampled(
            {
                "workers": lambda: run.processes()[0],
                "supervisor": lambda: run.processes()[1],
                "broker": lambda: family(place.broker_pid),
                "database": lambda: family(place.database_pid),
            }
        ) as usage:
            await _until_drained(place, run, published)
        await _until_settled(place)
    run.read()  # what was committed after that would be too much
    wal_after = await _wal(place)
    checks = await audit(place, workload, contestant, published=published, committed=run.committed)
    measurement = _measurement(workload, contestant, run, usage)
    measurement.checks = checks
    if wal_before is not None and wal_after is not None:
        measurement.wal_bytes = round((wal_after - wal_before) / workload.events)
    return measurement


async def _until_drained(place: Place, run: Running, published: int) -> None:
    """Wait until as many events have been committed as were published, or nothing more is."""
    before, deadline = 0, time.monotonic() + _START_SECONDS
    while run.committed < published and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        run.read()
        run.check()
        if run.committed > before:
            before, deadline = run.committed, time.monotonic() + _STALL_SECONDS
            place.screen.progress(f"draining: {run.committed:,} of {published:,}")
    if run.committed < published:
        place.screen.tell("nothing is committed any more: not waiting any longer")


async def _until_settled(place: Place) -> None:
    """Wait for what waits in the database, but not for ever: the audit tells of what is left."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_SETTLE_SECONDS), place.connect() as database:
            while await database.fetchval(_WAITING):  # noqa: ASYNC110 - the service's doing
                await asyncio.sleep(_POLL_SECONDS)


async def _wal(place: Place) -> int | None:
    """Return how many bytes of write-ahead log there have been; None where that is not told."""
    try:
        async with place.connect() as database:
            return int(await database.fetchval(_WAL))
    except asyncpg.PostgresError:
        return None


def _measurement(
    workload: Workload, contestant: Contestant, run: Running, usage: Usage
) -> Measurement:
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
