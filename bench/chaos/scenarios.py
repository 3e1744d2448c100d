"""The two stories: everything breaks at random; the database is away for a minute."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import PROJECT
from bench.chaos import schedule
from bench.chaos.audit import Audit
from bench.chaos.bed import Bed, make_bed, reconcile
from bench.chaos.faults import FAULTS
from bench.chaos.plan import Plan, make_plan
from bench.chaos.quiet import until_quiet
from bench.chaos.result import Result
from bench.chaos.schedule import Tempo
from bench.chaos.storm import Storm, Struck
from bench.lab.screen import Screen
from bench.stack import Stack

# The service's queues take 100,000 messages and push the oldest out.
CHAOS_BRAKE: Final = 40_000
OUTAGE_BRAKE: Final = 95_000
# The end of the plan is kept back until every kind of fault has struck under load.
KEPT_BACK: Final = 0.1
_PROGRESS_SECONDS: Final = 0.5
# The defaults, said here because what an outage may redeliver follows from them.
_DLR_PREFETCH: Final = 2000
_BILL_PREFETCH: Final = 1000


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Attributes:
        events: publications, copies and rubbish included.
        seed: decides everything that is left to chance.
        rate: publications per second.
        workers: processes of the service.
        faults: names of the kinds of faults; none for a run without.
        tempo: how fast they come.
        minutes: after so long no more is published or broken.
        debits: the service takes what is charged, in charge mode ``debit``.
        code: the directory that has the package ``service``.
    """

    events: int
    seed: int
    rate: float
    workers: int
    faults: frozenset[str]
    tempo: Tempo
    minutes: float
    debits: bool
    code: Path = PROJECT


async def chaos(stack: Stack, place: Path, options: Options, screen: Screen) -> Result:
    """Publish everything while faults strike, wait for quiet, and compare."""
    plan = make_plan(options.seed, options.events)
    result = Result("chaos", options.seed)
    settings = _settings(options)
    faults = [fault for fault in FAULTS if fault.name in options.faults]
    async with make_bed(
        stack, place, options.seed,
        code=options.code, rate=options.rate, brake=CHAOS_BRAKE,
        debits=options.debits, settings=settings,
    ) as bed:  # fmt: skip
        await _reconcile(bed, result)
        screen.tell("the storm begins" if faults else "publishing")
        blows = schedule.blows(options.seed, faults, options.tempo)
        storm = Storm(bed.rig, options.faults, blows, bed.struck, screen.tell)
        watched = _Watched(bed, screen, plan)
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(bed.rig.keeper.run(), name="keeper")
            showing = tasks.create_task(watched.show(), name="progress")
            storming = tasks.create_task(storm.run(), name="storm")
            began = time.monotonic()
            await _publish(bed, plan, storm, options, result)
            published = time.monotonic() - began
            storm.stop()
            await asyncio.wait({storming})
            screen.tell("everything is published and mended; waiting for quiet")
            await _conclude(bed, plan, options, result)
            showing.cancel()
            keeping.cancel()
        unstruck = options.faults - {blow.name for blow in bed.struck}
        result.problems += [f"never struck: {name}" for name in sorted(unstruck)]
        result.figures["published_per_second"] = round(bed.publisher.sent / published)
        result.figures["blows_missed"] = len(storm.missed)
        result.struck = bed.struck
    return result


async def outage(
    stack: Stack, place: Path, options: Options, seconds: float, screen: Screen
) -> Result:
    """Take the database away under load; nothing may be dead-lettered, and little redelivered."""
    plan = make_plan(options.seed, options.events, with_rubbish=False)
    result = Result("outage", options.seed)
    async with make_bed(
        stack, place, options.seed,
        code=options.code, rate=options.rate, brake=OUTAGE_BRAKE,
        debits=options.debits, settings=_settings(options),
    ) as bed:  # fmt: skip
        await _reconcile(bed, result)
        screen.tell(f"publishing {options.rate:,.0f} events/s")
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(bed.rig.keeper.run(), name="keeper")
            showing = tasks.create_task(_Watched(bed, screen, plan).show(), name="progress")
            publishing = tasks.create_task(bed.publisher.send(bed.feed(plan.steps)))
            await asyncio.sleep(min(10.0, options.events / options.rate / 8))
            before = bed.publisher.sent
            blow = Struck("database away", time.time())
            screen.tell(f"database away for {seconds:g} s")
            await asyncio.to_thread(stack.postgres.stop)
            await asyncio.sleep(seconds)
            published = bed.publisher.sent - before
            longest = dict(bed.observer.ready or {})
            await asyncio.to_thread(stack.postgres.start)
            blow.mended_at = time.time()
            bed.struck.append(blow)
            screen.tell("database back")
            caught_up = await _caught_up(bed, publishing)
            await publishing
            screen.tell("everything is published; waiting for quiet")
            await _conclude(bed, plan, options, result)
            showing.cancel()
            keeping.cancel()
        _judge_outage(bed, result, options)
        result.figures |= {
            "outage_s": seconds,
            "published_during_outage": published,
            "published_during_outage_per_second": round(published / seconds),
            "longest_queues": longest,
            "recovery_to_first_commit_s": blow.recovery,
            "recovery_to_empty_queues_s": round(caught_up - blow.mended_at, 1),
        }
        result.struck = bed.struck
    return result


def _judge_outage(bed: Bed, result: Result, options: Options) -> None:
    allowed = (_DLR_PREFETCH + _BILL_PREFETCH) * options.workers
    result.figures["redeliveries_allowed"] = allowed
    if bed.observer.redelivered > allowed:
        result.problems.append(
            f"{bed.observer.redelivered} redeliveries, more than prefetch x workers = {allowed}"
        )
    if bed.struck[0].committed_at is None:
        result.problems.append("nothing was committed after the outage")


async def _caught_up(bed: Bed, publishing: asyncio.Task[None]) -> float:
    """Wait until the backlog is gone; return when that was. Publishing goes on meanwhile."""
    back = time.time()
    while bed.observer.looked_at < back + 3 or not _is_short(bed):
        if publishing.done():
            publishing.result()
        await asyncio.sleep(_PROGRESS_SECONDS)
    return bed.observer.looked_at


def _is_short(bed: Bed) -> bool:
    """Whether no queue is longer than what arrives within half a second."""
    ready = bed.observer.ready
    return ready is not None and max(ready.values()) < bed.publisher.rate / 2


async def _publish(bed: Bed, plan: Plan, storm: Storm, options: Options, result: Result) -> None:
    """Publish the plan; slowly towards its end, for as long as kinds of faults are to come."""
    kept_back = int(len(plan.steps) * (1 - KEPT_BACK))
    try:
        async with asyncio.timeout(options.minutes * 60):
            await bed.publisher.send(bed.feed(plan.steps[:kept_back]))
            if options.faults and not storm.complete.is_set():
                bed.publisher.rate = options.rate / 10
            sending = asyncio.ensure_future(bed.publisher.send(bed.feed(plan.steps[kept_back:])))
            over = asyncio.ensure_future(storm.complete.wait())
            await asyncio.wait({sending, over}, return_when=asyncio.FIRST_COMPLETED)
            bed.publisher.rate = options.rate
            await asyncio.gather(sending, over)
    except TimeoutError:
        result.problems.append(
            f"only {bed.publisher.sent} of {plan.publications} were published within "
            f"{options.minutes:g} minutes"
        )


async def _conclude(bed: Bed, plan: Plan, options: Options, result: Result) -> None:
    """Wait for quiet, stop the service, compare, and note the figures."""
    began = time.monotonic()
    moving = await until_quiet(bed.observer, bed.gateway)
    result.problems += [f"still moving: {what}" for what in moving]
    quiet = time.monotonic() - began
    code = await bed.rig.keeper.drain_for_good()
    if code != 0:
        result.problems.append(f"the service ended with exit code {code}")
    bed.observer.read_logs()
    audit = Audit(plan, bed.publisher.confirmed, debits=options.debits)
    connection = await bed.rig.connect()
    try:
        await audit.run(connection, bed.rig.stack.rabbitmq.url())
    finally:
        await connection.close()
    await _reconcile(bed, result)
    result.checks = audit.checks
    result.problems += [*bed.rig.keeper.problems, *bed.observer.problems]
    result.figures |= _figures(bed, plan, audit) | {
        "charge_mode": "debit" if options.debits else "confirm",
        "debits": audit.debits,
        "refunds": audit.refunds,
        "quiet_after_s": round(quiet, 1),
        "workers": options.workers,
    }


def _figures(bed: Bed, plan: Plan, audit: Audit) -> dict[str, Any]:
    publisher, observer = bed.publisher, bed.observer
    return {
        "published": publisher.sent,
        "events": len(plan.events),
        "copies": publisher.confirmed.total() - len(publisher.confirmed),
        "rubbish": len(plan.rubbish),
        "returned_and_published_again": publisher.returned,
        "unconfirmed_and_published_again": publisher.unconfirmed,
        "committed_deliveries": observer.committed,
        "applied": audit.applied,
        "dead_letters": audit.dead,
        "left_parked": audit.left_parked,
        "receipts_redelivered": audit.redelivered,
        "redelivered_by_the_broker": observer.redelivered,
        "supervisors": len(bed.rig.keeper.lives),
        "largest_worker_mib": round(observer.max_rss / 2**20, 1),
        "metrics": {name: int(value) for name, value in sorted(observer.metrics.items())},
    }


async def _reconcile(bed: Bed, result: Result) -> None:
    code, output = await reconcile(bed)
    if code != 0:
        result.problems.append(f"billing-service reconcile: exit code {code}: {output[-2000:]}")


def _settings(options: Options) -> dict[str, str]:
    return {
        "BILLING_WORKERS": str(options.workers),
        "BILLING_DLR_PREFETCH": str(_DLR_PREFETCH),
        "BILLING_BILL_PREFETCH": str(_BILL_PREFETCH),
    }


class _Watched:
    """Shows how far a run is."""

    def __init__(self, bed: Bed, screen: Screen, plan: Plan) -> None:
        self._bed = bed
        self._screen = screen
        self._total = plan.publications

    async def show(self) -> None:
        """Show it until cancelled."""
        while True:
            self._screen.progress(self._line())
            await asyncio.sleep(_PROGRESS_SECONDS)

    def _line(self) -> str:
        publisher, observer = self._bed.publisher, self._bed.observer
        waiting = "?" if observer.ready is None else f"{sum(observer.ready.values()):,}"
        parked = "?" if observer.parked is None else f"{observer.parked:,}"
        return (
            f"published {publisher.sent:,}/{self._total:,}  committed {observer.committed:,}  "
            f"waiting {waiting}  parked {parked}  blows {len(self._bed.struck)}"
        )
