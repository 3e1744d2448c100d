"""Throughput by batch size and prefetch, or workers, as a heat map."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.tune.cell import Refusal
from bench.tune.standing import Standing
from bench.tune.theme import ACCENT, INK, LINE, MUTED, PAGE, svg, themed

_GAP: Final = 0.03


class _Layout(NamedTuple):
    """What is where: rows are batch sizes, columns are values of the setting ``across``."""

    across: str
    rows: list[int]
    columns: list[int]
    panels: list[list[int]]  # the numbers of workers in each


def draw_heat_map(standings: Sequence[Standing], refused: Sequence[Refusal]) -> str:
    """Return SVG: batch size by prefetch for each number of workers.

    With a single prefetch it is batch size by workers. A square has the fastest of its cells, and
    a dash where all of them were refused.
    """
    layout = _layout(standings, refused)
    rates = [each.rate.median for each in standings]
    scale = Normalize(min(rates), max(rates))
    width = 1.0 + len(layout.panels) * (0.4 + 1.15 * len(layout.columns))
    with themed("heat map"):
        figure = Figure(figsize=(width, 1.0 + 0.55 * len(layout.rows)), layout="constrained")
        panels = figure.subplots(1, len(layout.panels), sharey=True, squeeze=False)[0]
        panels[0].set_ylabel("batch size")
        for axes, workers in zip(panels, layout.panels, strict=True):
            shown = [each for each in standings if each.cell.workers in workers]
            _draw(axes, layout, _best(shown, layout.across), scale)
            if len(layout.panels) > 1:
                axes.set_title(f"{workers[0]} worker{'' if workers == [1] else 's'}")
        return svg(figure)


def _layout(standings: Sequence[Standing], refused: Sequence[Refusal]) -> _Layout:
    tried = [*(each.cell for each in standings), *(each.cell for each in refused)]
    workers = sorted({cell.workers for cell in tried})
    prefetches = sorted({cell.prefetch for cell in tried})
    rows = sorted({cell.batch_size for cell in tried})
    if len(prefetches) > 1:
        return _Layout("prefetch", rows, prefetches, [[count] for count in workers])
    return _Layout("workers", rows, workers, [workers])


def _best(standings: Sequence[Standing], across: str) -> dict[tuple[int, int], float]:
    """Return the rate of the fastest cell, by batch size and the setting across."""
    best: dict[tuple[int, int], float] = {}
    for standing in standings:
        key = (standing.cell.batch_size, getattr(standing.cell, across))
        best[key] = max(best.get(key, 0.0), standing.rate.median)
    return best


def _draw(
    axes: Axes, layout: _Layout, best: Mapping[tuple[int, int], float], scale: Normalize
) -> None:
    for y, row in enumerate(layout.rows):
        for x, column in enumerate(layout.columns):
            _draw_square(axes, x, y, best.get((row, column)), scale)
    axes.set(xlim=(-0.5, len(layout.columns) - 0.5), ylim=(-0.5, len(layout.rows) - 0.5))
    axes.set_xticks(range(len(layout.columns)), [f"{value:,}" for value in layout.columns])
    axes.set_yticks(range(len(layout.rows)), [f"{value:,}" for value in layout.rows])
    axes.set_xlabel(layout.across)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_square(axes: Axes, x: int, y: int, rate: float | None, scale: Normalize) -> None:
    side = 1 - 2 * _GAP
    corner = (x - 0.5 + _GAP, y - 0.5 + _GAP)
    if rate is None:
        axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=LINE))
        axes.text(x, y, "\N{EN DASH}", ha="center", va="center", color=MUTED)
        return
    heat = float(scale(rate))
    axes.add_patch(
        Rectangle(corner, side, side, facecolor=ACCENT, alpha=0.12 + 0.88 * heat, linewidth=0)
    )
    ink = PAGE if heat > 0.6 else INK
    axes.text(x, y, f"{rate:,.0f}", ha="center", va="center", color=ink)
