"""Publish events at a steady rate to a contestant that has nothing else to do."""

import asyncio
from typing import Final, NamedTuple

from bench.lab import observation, queues
from bench.lab.audit import audit, count
from bench.lab.contestant import Contestant, Running, family, running
from bench.lab.database import Unusable
from bench.lab.place import Place
from bench.lab.result import Measurement
from bench.lab.traffic import Locust, Report, Traffic

_READY_SECONDS: Final = 60.0
# Of a worker that has just begun to consume: what it still does then is no idling.
_CALM_SECONDS: Final = 2.0
_IDLE_SECONDS: Final = 10.0


class Idle(NamedTuple):
    """What a worker costs that has nothing to do: the highest figures of all of them."""

    cpu_percent: float
    rss_mib: float


class Loaded(NamedTuple):
    """What a run came to, and locust's own report, as HTML."""

    measurement: Measurement
    page: str


async def must_keep_commit_times(place: Place) -> None:
    """Raise Unusable where the database cannot tell when a transaction committed; ours can."""
    if place.database.is_ours:
        return
    async with place.database.connect() as database:
        if await database.fetchval("SHOW track_commit_timestamp") != "on":
            raise Unusable(
                "PostgreSQL does not keep the times of commits, which latencies are counted to: "
                "set track_commit_timestamp = on in its postgresql.conf, and restart it"
            )


async def load(
    place: Place, traffic: Traffic, contestant: Contestant, web_port: int | None = None
) -> Loaded:
    """Measure latencies under a steady load, and check what came of it.

    Args:
        place: where.
        traffic: what is published, and how fast.
        contestant: who consumes it.
        web_port: of a page that shows it meanwhile, and can end it.

    Raises:
        ProgramFailed: the contestant or the publisher ended.
        Unusable: the times of commits are not kept, nobody consumes, or nothing was published.
    """
    await must_keep_commit_times(place)
    await place.fresh(traffic.workload)
    locust = Locust(place, traffic, web_port)
    if web_port is not None:
        place.screen.tell(f"locust's page, once it publishes: http://127.0.0.1:{web_port}")
    async with running(contestant, place.directory) as run:
        await _until_consuming(place, run, traffic, contestant)
        idle = await _idle(place, run)
        locust.start()
        try:
            async with observation.watched(place, run, locust=lambda: family(locust.pid)) as usage:
                report = await _until_published(place, locust, traffic, run)
                await observation.until_committed(place, run, report.published)
        finally:
            await locust.stop()
        await observation.until_settled(place)
    run.read()  # what was committed after that would be too much
    if report.published == 0:
        raise Unusable("nothing was published: the run was stopped before it began")
    workload = traffic.workload
    if web_port is not None:
        workload = workload.first(report.published)
    measurement = observation.measurement_of(workload, contestant, run, usage)
    measurement.checks = await audit(
        place, workload, contestant, published=report.published, committed=run.committed
    )
    measurement.checks.append(
        count("commits whose time was found", report.published, report.measured)
    )
    measurement.due_rate = traffic.rate
    measurement.latency_ms, measurement.late_ms = report.latency_ms, report.late_ms
    measurement.idle_cpu_percent, measurement.idle_rss_mib = idle
    return Loaded(measurement, locust.page())


async def _until_consuming(
    place: Place, run: Running, traffic: Traffic, contestant: Contestant
) -> None:
    """Wait until each worker consumes. Raises Unusable, or ProgramFailed."""
    workers = contestant.settings["workers"]
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while await queues.consumers(place.amqp_url, traffic.workload.source) < workers:
                run.check()
                await asyncio.sleep(observation.POLL_SECONDS)
    except TimeoutError:
        raise Unusable(f"after {_READY_SECONDS:.0f} s not every worker consumes") from None
    run.read()


async def _idle(place: Place, run: Running) -> Idle:
    """Measure what workers cost while nothing is published."""
    await asyncio.sleep(_CALM_SECONDS)
    place.screen.tell(f"idle for {_IDLE_SECONDS:.0f} s")
    workers, _ = run.processes()
    for worker in workers:
        worker.cpu_percent()  # counts from here
    await asyncio.sleep(_IDLE_SECONDS)
    idle = Idle(
        max(worker.cpu_percent() for worker in workers),
        round(max(worker.memory_info().rss for worker in workers) / 2**20, 1),
    )
    place.screen.tell(f"idle: {idle.cpu_percent} % of a core, {idle.rss_mib} MiB a worker")
    return idle


async def _until_published(place: Place, locust: Locust, traffic: Traffic, run: Running) -> Report:
    """Wait until locust has published and measured everything. Raises ProgramFailed."""
    place.screen.tell(f"publishing {traffic.workload.events:,} events at {traffic.rate:,.0f}/s")
    while (code := locust.exit_code) is None:
        await asyncio.sleep(observation.POLL_SECONDS)
        run.read()
        run.check()
        place.screen.progress(f"committed: {run.committed:,} of {traffic.workload.events:,}")
    if code != 0:
        locust.check()
    return locust.report()
