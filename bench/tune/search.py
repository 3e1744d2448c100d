"""Drains with cell after cell within a time budget, and paces those that are left."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from bench.lab.contestant import Contestant, service
from bench.lab.drain import drain
from bench.lab.load import load, must_keep_commit_times
from bench.lab.place import Place, Unusable
from bench.lab.workload import Workload
from bench.load import traffic_at
from bench.tune.cell import Cell
from bench.tune.halving import FINALISTS, affords_round, ladder, survivors
from bench.tune.standing import standings
from bench.tune.tuning import Tuning
from service.settings import Stream

_PACED_ROUNDS: Final = 2
# Of a paced run, besides what it publishes for: fresh tables, start, idling, stop.
_PACED_OVERHEAD: Final = 25.0


@dataclass(frozen=True)
class Budget:
    """How much may be done.

    Attributes:
        minutes: that all of it may take, about: a round that has begun is ended.
        rounds: that finalists are drained for, at most.
        paced_seconds: that events are published at a steady rate for, to each finalist; with 0
            latencies are not measured.
    """

    minutes: float
    rounds: int
    paced_seconds: float

    def drain_seconds(self, cells: int) -> float:
        """Return what is left for drains."""
        run = self.paced_seconds + _PACED_OVERHEAD if self.paced_seconds else 0
        return max(0, self.minutes * 60 - min(cells, FINALISTS) * _PACED_ROUNDS * run)


class Search:
    """Looks for the best cells.

    Args:
        place: where.
        tuning: takes in what it comes to.
        admitted: the cells, with the service's settings for each.
        budget: how much may be done.
    """

    def __init__(
        self, place: Place, tuning: Tuning, admitted: Mapping[Cell, Stream], budget: Budget
    ) -> None:
        self._place = place
        self._tuning = tuning
        self._admitted = admitted
        self._budget = budget

    async def run(self) -> None:
        """Find the finalists, and measure them. Raises ProgramFailed: the service ended."""
        await self._settle_latencies()
        await self._halve()
        if self._budget.paced_seconds:
            await self._pace()
        self._tuning.place = await self._place.describe()

    async def _settle_latencies(self) -> None:
        """Measure none where the database does not tell when it committed."""
        if self._budget.paced_seconds:
            try:
                await must_keep_commit_times(self._place)
            except Unusable as reason:
                self._place.screen.tell(f"latencies will be derived, not measured: {reason}")
                self._budget = replace(self._budget, paced_seconds=0)

    async def _halve(self) -> None:
        deadline = time.monotonic() + self._budget.drain_seconds(len(self._admitted))
        tuning = self._tuning
        steps = ladder(len(self._admitted), tuning.workload.events, self._budget.rounds)
        tuning.finalists = list(self._admitted)
        for number, rung in enumerate(steps, 1):
            left = deadline - time.monotonic()
            if 1 < number < len(steps) and left <= 0:
                continue  # right to the finalists
            if number > 1:
                tuning.finalists = self._survivors(rung.cells)
            self._place.screen.tell(
                f"step {number} of {len(steps)}: {len(tuning.finalists)} cells with "
                f"{rung.events:,} events, {max(0, left) / 60:.1f} minutes left"
            )
            began = time.monotonic()
            for done in range(1, rung.rounds + 1):
                await self._drain_all(rung.events)
                spent = time.monotonic() - began
                if not affords_round(left, len(steps) - number + 1, spent, done):
                    break

    async def _pace(self) -> None:
        """Measure latencies at half of what the fastest finalist drains."""
        tuning = self._tuning
        found = [each for each in tuning.standings() if tuning.is_final(each) and not each.is_void]
        if not found:
            return
        rate = round(max(each.rate.median for each in found) / 2, 1)
        seconds = min(self._budget.paced_seconds, tuning.workload.cdrs / rate)
        traffic = traffic_at(rate, seconds, tuning.workload)
        for _ in range(_PACED_ROUNDS):
            for standing in found:
                contestant = self._contestant(standing.cell, traffic.workload)
                loaded = await load(self._place, traffic, contestant)
                latency = loaded.measurement.latency_ms
                self._place.screen.tell(f"{standing.cell}: p99 {latency.get('p99', 0):.0f} ms")
                tuning.measurements.append(loaded.measurement)

    def _survivors(self, keep: int) -> list[Cell]:
        found = standings(self._tuning.measurements)
        current = [standing for standing in found if self._tuning.is_final(standing)]
        return survivors(current, keep, self._tuning.goal_ms)

    async def _drain_all(self, events: int) -> None:
        """Drain once with each cell that is left."""
        workload = replace(self._tuning.workload, events=events)
        for cell in self._tuning.finalists:
            measurement = await drain(self._place, workload, self._contestant(cell, workload))
            self._place.screen.tell(f"{measurement.rate or 0:,.0f} events/s")
            self._tuning.measurements.append(measurement)

    def _contestant(self, cell: Cell, workload: Workload) -> Contestant:
        contestant = service(self._place, workload, self._admitted[cell], cell.workers)
        return replace(contestant, name=cell.name)
