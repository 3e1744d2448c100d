"""Fill the queue while nobody consumes it, then let a contestant drain it."""

from typing import Final

import asyncpg

from bench.lab import observation
from bench.lab.audit import audit
from bench.lab.contestant import Contestant, running
from bench.lab.filler import fill
from bench.lab.place import Place
from bench.lab.result import Measurement
from bench.lab.workload import Workload

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
        async with observation.watched(place, run) as usage:
            await observation.until_committed(place, run, published)
        await observation.until_settled(place)
    run.read()  # what was committed after that would be too much
    wal_after = await _wal(place)
    checks = await audit(place, workload, contestant, published=published, committed=run.committed)
    measurement = observation.measurement_of(workload, contestant, run, usage)
    measurement.checks = checks
    if wal_before is not None and wal_after is not None:
        measurement.wal_bytes = round((wal_after - wal_before) / workload.events)
    return measurement


async def _wal(place: Place) -> int | None:
    """Return how many bytes of write-ahead log there have been; None where that is not told."""
    try:
        async with place.database.connect() as database:
            return int(await database.fetchval(_WAL))
    except asyncpg.PostgresError:
        return None
