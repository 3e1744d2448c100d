"""Drains with cell after cell, within a time budget."""

import time
from collections.abc import Mapping
from dataclasses import replace

from bench.lab.contestant import service
from bench.lab.drain import drain
from bench.lab.place import Place
from bench.tune.cell import Cell
from bench.tune.halving import affords_round, ladder, survivors
from bench.tune.standing import standings
from bench.tune.tuning import Tuning
from service.settings import Stream


async def search(
    place: Place, tuning: Tuning, admitted: Mapping[Cell, Stream], minutes: float, rounds: int
) -> None:
    """Find the finalists, and measure them; all of it is noted in ``tuning``.

    Args:
        place: where.
        tuning: what it comes to.
        admitted: the cells, with the service's settings for each.
        minutes: that it may take, about: a round that has begun is ended.
        rounds: that finalists are drained for, at most.

    Raises:
        ProgramFailed: the service ended.
    """
    deadline = time.monotonic() + minutes * 60
    steps = ladder(len(admitted), tuning.workload.events, rounds)
    tuning.finalists = list(admitted)
    for number, rung in enumerate(steps, 1):
        left = deadline - time.monotonic()
        if 1 < number < len(steps) and left <= 0:
            continue  # right to the finalists
        if number > 1:
            tuning.finalists = _survivors(tuning, rung.cells)
        place.screen.tell(
            f"step {number} of {len(steps)}: {len(tuning.finalists)} cells with {rung.events:,} "
            f"events, {max(0, left) / 60:.1f} minutes left"
        )
        began = time.monotonic()
        for done in range(1, rung.rounds + 1):
            await _round(place, tuning, admitted, rung.events)
            if not affords_round(left, len(steps) - number + 1, time.monotonic() - began, done):
                break
    tuning.place = await place.describe()


def _survivors(tuning: Tuning, keep: int) -> list[Cell]:
    found = standings(tuning.measurements)
    current = [standing for standing in found if tuning.is_final(standing)]
    return survivors(current, keep, tuning.goal_ms)


async def _round(
    place: Place, tuning: Tuning, admitted: Mapping[Cell, Stream], events: int
) -> None:
    """Drain once with each cell that is left."""
    workload = replace(tuning.workload, events=events)
    for cell in tuning.finalists:
        contestant = service(place, workload, admitted[cell], cell.workers)
        measurement = await drain(place, workload, replace(contestant, name=cell.name))
        place.screen.tell(f"{measurement.rate or 0:,.0f} events/s")
        tuning.measurements.append(measurement)
