"""The story: publish, take something away, give it back, four times; then count everything."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.chaos.audit import Audit
from bench.chaos.bed import feed
from bench.chaos.plan import Plan, make_plan
from bench.chaos.quiet import until_quiet
from bench.chaos.result import Result
from bench.chaos.rig import DATABASE
from bench.cluster.faults import FAULTS
from bench.cluster.flow import Effect, Sample, Span, effect
from bench.cluster.scene import Scene, make_scene
from bench.lab.screen import Screen
from bench.stack.cluster import ClusterStack

_SAMPLE_SECONDS = 0.1
_PROGRESS_SECONDS = 1.0
# As short as a line of a table must be.
_COLUMNS = {
    "fault": "fault",
    "lasted_s": "lasted",
    "before": "before",
    "during": "during",
    "after": "after",
    "commit_pause_s": "no commit",
    "confirm_pause_s": "no confirm",
    "redelivered": "again",
}


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Attributes:
        events: publications, copies and rubbish included; more than go out until the last fault is
            over.
        seed: of the plan.
        rate: publications per second.
        workers: processes of the service on each host.
        away: seconds that each fault lasts at least.
        calm: seconds before the first fault, and after each.
        faults: the names of those that come, in their order.
    """

    events: int
    seed: int
    rate: float
    workers: int
    away: float
    calm: float
    faults: Sequence[str]


@dataclass
class ClusterResult(Result):
    """A result with a row for each fault."""

    effects: list[Effect] = field(default_factory=list)

    def details(self) -> dict[str, Any]:
        """Return the rows."""
        return {"effects": [each._asdict() for each in self.effects]}

    def _tables(self) -> list[Table]:
        table = Table(title="Commits a second, and the longest pauses in seconds", box=None)
        for name, title in _COLUMNS.items():
            table.add_column(title, justify="left" if name == "fault" else "right", no_wrap=True)
        for effect_of in self.effects:
            values = (getattr(effect_of, name) for name in _COLUMNS)
            table.add_row(*(v if isinstance(v, str) else f"{v:,}" for v in values))
        return [*super()._tables(), table]


async def cluster(servers: ClusterStack, place: Path, options: Options, screen: Screen) -> Result:
    """Publish steadily while one thing after another is away, wait for quiet, and compare."""
    plan = make_plan(options.seed, options.events)
    result = ClusterResult("cluster", options.seed)
    samples: list[Sample] = []
    async with make_scene(
        servers, place, rate=options.rate, workers=options.workers
    ) as scene, asyncio.TaskGroup() as tasks:  # fmt: skip
        screen.tell(f"publishing {options.rate:,.0f} events/s")
        sampling = tasks.create_task(_sample(scene, samples))
        showing = tasks.create_task(_show(scene, screen))
        publishing = tasks.create_task(scene.publisher.send(feed(plan.steps, scene.gateway)))
        spans = await _strike_all(scene, options, screen)
        if publishing.done():
            result.problems.append("everything was published before the last fault was over")
        scene.publisher.rate = 4 * options.rate  # what is left is only to be counted
        await publishing
        screen.tell("everything is published; waiting for quiet")
        await _conclude(scene, plan, result)
        result.effects = [effect(span, scene.observer.commits, samples) for span in spans]
        sampling.cancel()
        showing.cancel()
    result.figures |= {
        "rate": options.rate,
        "hosts": len(scene.hosts),
        "workers_per_host": options.workers,
    }
    return result


async def _strike_all(scene: Scene, options: Options, screen: Screen) -> list[Span]:
    """Strike one fault after another, with a time of calm after each."""
    spans = []
    await asyncio.sleep(options.calm)
    for fault in options.faults:
        screen.tell(fault)
        began = time.time()
        detail = await FAULTS[fault](scene, options.away)
        mended = time.time()
        screen.tell(f"mended: {detail}")
        await _caught_up(scene)
        await asyncio.sleep(options.calm)
        spans.append(Span(fault, detail, began, mended, time.time()))
    return spans


async def _caught_up(scene: Scene) -> None:
    """Wait until no queue is longer than what arrives within a second."""
    observer, since = scene.observer, time.time() + 2
    while True:
        ready = observer.ready
        if ready and observer.looked_at > since and max(ready.values()) < scene.publisher.rate:
            return
        await asyncio.sleep(_SAMPLE_SECONDS)


async def _conclude(scene: Scene, plan: Plan, result: Result) -> None:
    """Wait for quiet, stop the service, compare, and note the figures."""
    moving = await until_quiet(scene.observer, scene.gateway)
    result.problems += [f"still moving: {what}" for what in moving]
    for host in scene.hosts:
        if code := await host.keeper.drain_for_good():
            result.problems.append(f"{host.name}: the service ended with exit code {code}")
    scene.observer.read_logs()
    audit = Audit(plan, scene.publisher.confirmed)
    connection = await scene.connect()
    try:
        await audit.run(connection, scene.servers.rabbitmq.alive.url())
    finally:
        await connection.close()
    dsn = scene.servers.postgres.dsn(DATABASE)
    code, output = await asyncio.to_thread(scene.hosts[0].keeper.run_command, dsn, "reconcile")
    if code != 0:
        result.problems.append(f"billing-service reconcile: exit code {code}: {output[-2000:]}")
    result.checks = audit.checks
    result.problems += scene.observer.problems
    result.problems += [each for host in scene.hosts for each in host.keeper.problems]
    result.figures |= _figures(scene, plan, audit)


def _figures(scene: Scene, plan: Plan, audit: Audit) -> dict[str, Any]:
    publisher, observer = scene.publisher, scene.observer
    return {
        "published": publisher.sent,
        "events": len(plan.events),
        "rubbish": len(plan.rubbish),
        "returned_and_published_again": publisher.returned,
        "unconfirmed_and_published_again": publisher.unconfirmed,
        "applied": audit.applied,
        "dead_letters": audit.dead,
        "refunds": audit.refunds,
        "committed_deliveries": observer.committed,
        "redelivered": sum(commit.redelivered for commit in observer.commits),
        "committed_by_host": {
            host.name: sum(commit.size for commit in observer.commits if commit.keeper == number)
            for number, host in enumerate(scene.hosts)
        },
        "largest_worker_mib": round(observer.max_rss / 2**20, 1),
    }


async def _sample(scene: Scene, samples: list[Sample]) -> None:
    """Note what has been confirmed, until cancelled."""
    while True:
        samples.append(Sample(time.time(), scene.publisher.sent))
        await asyncio.sleep(_SAMPLE_SECONDS)


async def _show(scene: Scene, screen: Screen) -> None:
    """Show how far the run is, until cancelled."""
    while True:
        waiting = "?" if scene.observer.ready is None else f"{sum(scene.observer.ready.values()):,}"
        screen.progress(
            f"published {scene.publisher.sent:,}  committed {scene.observer.committed:,}  "
            f"waiting {waiting}"
        )
        await asyncio.sleep(_PROGRESS_SECONDS)
