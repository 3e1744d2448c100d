"""Latency against throughput, with the knee marked."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from bench.tune.knee import front, knee
from bench.tune.standing import Standing
from bench.tune.theme import ACCENT, INK, MUTED, WARN, svg, themed


def draw_scatter(
    finalists: Sequence[Standing],
    others: Sequence[Standing],
    chosen: Standing | None,
    goal_ms: float,
) -> str:
    """Return SVG: a point for each cell, a line through the finalists that none beats, the goal."""
    best = front(finalists)
    with themed("scatter"):
        figure = Figure(figsize=(9.4, 4.4), layout="constrained")
        axes = figure.subplots()
        _draw_points(axes, others, MUTED)
        _draw_points(axes, finalists, ACCENT)
        axes.plot([each.p99_ms for each in best], [each.rate.median for each in best], color=ACCENT)
        _mark(axes, chosen, knee(best))
        axes.axvline(goal_ms, color=WARN, linestyle="--")
        axes.annotate(
            f"goal {goal_ms:g} ms",
            (goal_ms, 0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(-6, 6),
            textcoords="offset points",
            ha="right",
            color=WARN,
        )
        axes.set(xlabel="p99 of publish to commit, ms", ylabel="events/s")
        axes.set_xlim(left=0)
        axes.margins(y=0.2)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        return svg(figure)


def _draw_points(axes: Axes, standings: Sequence[Standing], colour: str) -> None:
    """Draw medians, with a line from the slowest to the fastest run."""
    sound = [standing for standing in standings if not standing.is_void]
    latencies = [standing.p99_ms for standing in sound]
    rates = [standing.rate for standing in sound]
    axes.vlines(
        latencies, [r.low for r in rates], [r.high for r in rates], colors=colour, linewidth=1
    )
    axes.scatter(latencies, [r.median for r in rates], s=26, color=colour, zorder=3)


def _mark(axes: Axes, chosen: Standing | None, bend: Standing | None) -> None:
    """Say which points are the recommended one and the knee."""
    names: dict[Standing, list[str]] = {}
    for standing, name in ((chosen, "recommended"), (bend, "knee")):
        if standing is not None:
            names.setdefault(standing, []).append(name)
    for standing, found in names.items():
        point = (standing.p99_ms, standing.rate.median)
        axes.scatter(*point, s=150, facecolors="none", edgecolors=INK, linewidth=1.3, zorder=4)
        axes.annotate(
            ", ".join(found),
            point,
            xytext=(-10, 8) if standing is chosen else (10, -16),  # beside its stroke
            textcoords="offset points",
            ha="right" if standing is chosen else "left",
            weight="bold",
        )
