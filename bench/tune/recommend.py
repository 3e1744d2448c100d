"""Which settings to run with, and why. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bench.compare.verdict import THRESHOLD
from bench.tune.knee import front, knee
from bench.tune.standing import Standing
from service.config import shown


class Recommendation(NamedTuple):
    """What is recommended.

    Attributes:
        standing: the cell, and its figures.
        reason: one or two sentences.
        keeps_goal: whether it keeps the latency goal.
    """

    standing: Standing
    reason: str
    keeps_goal: bool


def recommend(finalists: Sequence[Standing], goal_ms: float) -> Recommendation | None:
    """Return the settings to run with; None where an event was lost under each.

    It is the fastest cell that keeps the latency goal. Among those that are as fast, give or take
    the noise, it is that with the fewest workers, then with the longest flush interval, since
    fuller batches cost less when traffic is thin, then with the least prefetch, since less comes
    again after a crash.
    """
    sound = [standing for standing in finalists if not standing.is_void]
    if not sound:
        return None
    within = [standing for standing in sound if standing.p99_ms <= goal_ms]
    if not within:
        closest = min(sound, key=lambda each: each.p99_ms)
        return Recommendation(closest, _closest(closest, goal_ms), keeps_goal=False)
    fastest = max(within, key=lambda each: each.rate.median)
    enough = fastest.rate.median * (1 - THRESHOLD)
    chosen = min((each for each in within if each.rate.median >= enough), key=_preference)
    slower = [each for each in within if each.rate.median < enough]
    remark = _doubt(chosen, slower) or _knee(chosen, sound)
    reason = _reason(chosen, fastest, len(within), goal_ms) + remark
    return Recommendation(chosen, reason, keeps_goal=True)


def toml(standing: Standing, stream: str, others: Mapping[str, Any]) -> str:
    """Return the lines of config/billing.toml.

    Args:
        standing: of the cell.
        stream: ``dlr`` or ``bill``, whose table it is.
        others: settings of that table that it was measured with as well.
    """
    cell = standing.cell
    table = {
        "batch_size": cell.batch_size,
        "flush_ms": cell.flush_ms,
        "prefetch": cell.prefetch,
        **others,
    }
    lines = "".join(f"{name} = {shown(value)}\n" for name, value in table.items())
    return f"workers = {cell.workers}\n\n[{stream}]\n{lines}"


def _preference(standing: Standing) -> tuple[float, ...]:
    cell = standing.cell
    return cell.workers, -cell.flush_ms, cell.prefetch, -standing.rate.median


def _closest(closest: Standing, goal_ms: float) -> str:
    return (
        f"No finalist keeps a p99 of {goal_ms:g} ms; this one comes closest, with "
        f"{closest.p99_ms:.0f} ms at {closest.rate.median:,.0f} events/s. Try shorter flush "
        "intervals and smaller batches."
    )


def _reason(chosen: Standing, fastest: Standing, within: int, goal_ms: float) -> str:
    figures = f"{chosen.rate.median:,.0f} events/s with a p99 of {chosen.p99_ms:.0f} ms"
    finalists = f"of the {within} finalists within {goal_ms:g} ms"
    if within == 1:
        finalists = f"the one finalist within {goal_ms:g} ms"
        return f"{figures}: {finalists}."
    if chosen is fastest:
        return f"{figures}: the fastest {finalists}."
    return (
        f"{figures}: within {THRESHOLD:.0%} of the fastest {finalists}, with "
        f"{_advantage(chosen, fastest)}."
    )


def _advantage(chosen: Standing, fastest: Standing) -> str:
    if chosen.cell.workers < fastest.cell.workers:
        return "fewer workers"
    if chosen.cell.flush_ms > fastest.cell.flush_ms:
        return "fuller batches when traffic is thin"
    return "less that comes again after a crash"


def _doubt(chosen: Standing, slower: Sequence[Standing]) -> str:
    """Say when noise does not tell the recommended cell from those that are said to be slower."""
    if overlapping := sum(each.rate.high >= chosen.rate.low for each in slower):
        others = "another" if overlapping == 1 else f"{overlapping} others"
        return f" Its runs overlap with those of {others}: measure longer, on a quieter machine."
    return ""


def _knee(chosen: Standing, sound: Sequence[Standing]) -> str:
    bend = knee(front(sound))
    if bend is None:
        return ""
    if bend is chosen:
        return " It is also the knee: whatever is faster costs much more latency."
    return (
        f" The knee is at {bend.cell}: {bend.rate.median:,.0f} events/s with a p99 of "
        f"{bend.p99_ms:.0f} ms."
    )
