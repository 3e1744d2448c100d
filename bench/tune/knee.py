"""Where more throughput begins to cost much latency. Pure."""

from collections.abc import Sequence

from bench.tune.standing import Standing


def front(standings: Sequence[Standing]) -> list[Standing]:
    """Return those that none beats in both throughput and latency, by rising latency."""
    best: list[Standing] = []
    for standing in sorted(standings, key=lambda each: (each.p99_ms, -each.rate.median)):
        if not standing.is_void and (not best or standing.rate.median > best[-1].rate.median):
            best.append(standing)
    return best


def knee(front: Sequence[Standing]) -> Standing | None:
    """Return the one that lies farthest above the line from the first to the last.

    That is where the curve bends. Fewer than three make no curve, nor does a line that only bends
    upwards.
    """
    if len(front) < 3:
        return None
    first, last = front[0], front[-1]

    def height(standing: Standing) -> float:
        along = (standing.p99_ms - first.p99_ms) / (last.p99_ms - first.p99_ms)
        up = (standing.rate.median - first.rate.median) / (last.rate.median - first.rate.median)
        return up - along

    highest = max(front, key=height)
    return highest if height(highest) > 0 else None
