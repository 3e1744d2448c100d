"""Drains with cell after cell within a time budget, and paces those that are left."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from bench.lab.contestant import Contestant, service
from bench.lab.database import Unusable
from bench.lab.drain import drain
from bench.lab.load import load, must_keep_commit_times
from bench.lab.place import Place
from bench.lab.traffic import Traffic
from bench.lab.workload import Workload
from bench.load import traffic_at
from bench.tune.cell import Cell
from bench.tune.halving import FINALISTS, affords_round, ladder, survivors
from bench.tune.standing import Standing, standings
from bench.tune.tuning import Tuning
from service.settings import Stream

_PACED_ROUNDS: Final = 2
# Of a paced run, besides what it publishes for: fresh tables, start, idling, stop.
_PACED_OVERHEAD: Final = 25.0
# For how long more is published than anybody keeps up with.
_FLOOD_SECONDS: Final = 5.0


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
        if not self.paced_seconds:
            return self.minutes * 60
        runs = min(cells, FINALISTS) * _PACED_ROUNDS
        flood = 3 * _FLOOD_SECONDS + _PACED_OVERHEAD
        paced = runs * (self.paced_seconds + _PACED_OVERHEAD)
        return max(0, self.minutes * 60 - flood - paced)


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
        """Measure latencies at half of what can be kept up with."""
        tuning = self._tuning
        found = [each for each in tuning.standings() if tuning.is_final(each) and not each.is_void]
        if not found:
            return
        rate = round(await self._ceiling(found[0]) / 2, 1)
        traffic = self._traffic(rate, self._budget.paced_seconds)
        for _ in range(_PACED_ROUNDS):
            for standing in found:
                contestant = self._contestant(standing.cell, traffic.workload)
                loaded = await load(self._place, traffic, contestant)
                latency = loaded.measurement.latency_ms
                self._place.screen.tell(f"{standing.cell}: p99 {latency.get('p99', 0):.0f} ms")
                tuning.measurements.append(loaded.measurement)

    async def _ceiling(self, fastest: Standing) -> float:
        """Return how many events a second are settled while they are being published.

        A publisher takes its share of the machine, and is slower than a drain where it is on the
        same one; what it cannot publish in time would count as latency.
        """
        traffic = self._traffic(fastest.rate.median, _FLOOD_SECONDS)
        contestant = self._contestant(fastest.cell, traffic.workload)
        measurement = (await load(self._place, traffic, contestant)).measurement
        rate = min(measurement.rate or fastest.rate.median, fastest.rate.median)
        self._place.screen.tell(f"{rate:,.0f} events/s, published and settled at once")
        return rate

    def _traffic(self, rate: float, seconds: float) -> Traffic:
        """Return events at a rate, for so long as there are CDRs for them."""
        workload = self._tuning.workload
        return traffic_at(rate, min(seconds, workload.cdrs / rate), workload)

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
