"""Charts as SVG that takes its colours and its font from the page, light or dark."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

# Stand for the page's own colours while a chart is drawn.
INK: Final = "#010101"
MUTED: Final = "#010102"
LINE: Final = "#010103"
ACCENT: Final = "#010104"
WARN: Final = "#010105"
PAGE: Final = "#010106"
_VARIABLES: Final = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    ACCENT: "accent",
    WARN: "warn",
    PAGE: "page",
}
_STYLE: Final[dict[RcKeyType, Any]] = {
    "svg.fonttype": "none",  # text stays text
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 11,
    "axes.edgecolor": LINE,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": LINE,
}
_NO_METADATA: Final = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@contextmanager
def themed(name: str) -> Iterator[None]:
    """Draw in the page's style; ``name`` keeps ids of charts in one page apart."""
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        yield


def svg(figure: Figure) -> str:
    """Return a figure as an element of HTML."""
    written = StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata=_NO_METADATA)
    text = written.getvalue()
    text = text[text.index("<svg") :].replace("'DejaVu Sans'", "inherit")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return text
