"""The comparison as a chart, for a page of any colour."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from matplotlib.typing import RcKeyType

Summary = Mapping[str, Mapping[str, Mapping[str, float]]]

# As far from white as from black.
_TEXT: Final = "#7a7f87"
_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_OURS: Final = "#2f9e6e"
_OTHERS: Final = "#8c9db5"
_STYLE: Final[dict[RcKeyType, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "peers",  # so that the same figures make the same file
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans", "sans-serif"],
    "font.size": 11,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "axes.edgecolor": _TEXT,
}


def draw(summary: Summary, path: Path) -> None:
    """Write an SVG with one bar for each contestant, the first of them ours. Raises OSError.

    Args:
        summary: by contestant, of ``rate`` and ``ratio`` the ``median``, ``min`` and ``max``.
        path: of the SVG.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(_STYLE):
        figure = Figure(figsize=(8.0, 0.9 + 0.55 * len(summary)), layout="constrained")
        _draw_bars(figure.subplots(), summary)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def _draw_bars(axes: Axes, summary: Summary) -> None:
    longest = max(figures["rate"]["max"] for figures in summary.values())
    for place, figures in enumerate(summary.values()):
        rate = figures["rate"]
        axes.barh(
            place,
            rate["median"],
            xerr=[[rate["median"] - rate["min"]], [rate["max"] - rate["median"]]],
            height=0.6,
            color=_OTHERS if place else _OURS,
            error_kw={"ecolor": _TEXT, "elinewidth": 1, "capsize": 3},
        )
        label = f"{rate['median']:,.0f}/s"
        if place:
            label += f"   {_TIMES} {times(figures['ratio']['median'])}"
        axes.text(rate["max"] + 0.015 * longest, place, label, va="center")
    axes.set_yticks(range(len(summary)), list(summary))
    axes.set_xlim(0, 1.3 * longest)  # room for the labels
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel(f"receipts a second   ({_TIMES} how many times as fast billing-service is)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def times(ratio: float) -> str:
    """Write a ratio with digits that say something."""
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"
