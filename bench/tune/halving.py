"""Successive halving: who goes on, with how many events, and for how long. Pure.

All cells are drained with few events, the better half goes on with twice as many, until only
finalists are left, which get what remains of the time. Each rung takes its cells in turn, round
after round, so that a noisy minute hits all of them.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.tune.cell import Cell
from bench.tune.standing import Standing

FINALISTS: Final = 4
# A shorter drain is over before it has found its pace.
_FEWEST_EVENTS: Final = 10_000
# More rounds say little of a cell that is far from the best.
_EARLY_ROUNDS: Final = 2


class Rung(NamedTuple):
    """One step.

    Attributes:
        cells: how many are drained.
        events: in each drain.
        rounds: how often each is drained, at most.
    """

    cells: int
    events: int
    rounds: int


def ladder(cells: int, events: int, rounds: int, finalists: int = FINALISTS) -> list[Rung]:
    """Return the steps from all cells to the finalists.

    Args:
        cells: how many there are.
        events: in a drain of a finalist.
        rounds: that finalists are drained for, at most.
        finalists: how many are left in the end, at most.
    """
    counts = [cells]
    while counts[-1] > finalists:
        counts.append(max(finalists, -(-counts[-1] // 2)))
    last = len(counts) - 1
    fewest = min(events, _FEWEST_EVENTS)
    return [
        Rung(
            count,
            # An even number: some workloads have two events for each message.
            max(fewest, (events >> (last - step)) // 2 * 2),
            rounds if step == last else _EARLY_ROUNDS,
        )
        for step, count in enumerate(counts)
    ]


def survivors(standings: Sequence[Standing], keep: int, goal_ms: float) -> list[Cell]:
    """Return the better cells: those that can keep the latency goal first, then the faster ones.

    Few commits have no 99th percentile to speak of, so that it is the typical latency which must
    keep the goal here. A cell under which an event was lost is none of them.
    """
    sound = [standing for standing in standings if not standing.is_void]
    sound.sort(key=lambda each: (each.typical_ms > goal_ms, -each.rate.median))
    return [standing.cell for standing in sound[:keep]]


def affords_round(left: float, rungs: int, spent: float, rounds: int) -> bool:
    """Whether a rung has the time for another round.

    Args:
        left: seconds that were left when the rung began.
        rungs: that share them, itself included.
        spent: seconds that the rung has taken so far.
        rounds: that these were.
    """
    return spent + spent / rounds <= left / rungs
