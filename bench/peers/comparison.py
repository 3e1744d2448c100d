"""What the rounds came to: how many times as fast the service is as each of the others."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.lab.result import Measurement, Result, show_checks
from bench.peers.chart import draw, times

_TITLE: Final = "Median of the rounds, and below it the least and the most; receipt log off"
_SETTINGS: Final = "{workers} processes, prefetch {prefetch:,}, batch {batch_size:,}"
_MISSING: Final = "-"
Spread = Mapping[str, float]


@dataclass
class Comparison(Result):
    """Measurements of the same contestants, the service being the first, round by round.

    Attributes:
        chart: the SVG that is drawn of it, if it counts.
    """

    chart: Path | None = None

    def write(self, path: Path) -> None:
        """Write JSON, CSV and chart. Raises OSError."""
        super().write(path)
        if self.chart is not None and not self.is_void:
            compared = {name: row for name, row in self.summary().items() if "ratio" in row}
            draw(compared, self.chart)

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the median and the spread of each figure, by contestant; ``ratio`` is one."""
        found = super().summary()
        for contestant, values in ratios(self.measurements).items():
            found[contestant]["ratio"] = {
                "median": median(values),
                "min": min(values),
                "max": max(values),
            }
        return found

    def show(self, console: Console) -> None:
        """Print a line for each contestant, and what does not add up."""
        console.print(self._table())
        show_checks(console, self.measurements)

    def _table(self) -> Table:
        table = Table(
            box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=_TITLE, title_justify="left", leading=1
        )
        table.add_column("contestant", no_wrap=True)
        for column in ("events", "events/s", "ours/theirs"):
            table.add_column(column, justify="right", no_wrap=True)
        first = {each.contestant: each for each in reversed(self.measurements)}
        for name, figures in self.summary().items():
            table.add_row(
                f"{name}\n{_SETTINGS.format(**first[name].settings)}",
                f"{first[name].events:,}",
                _spread(figures.get("rate"), "{:,.0f}".format),
                _spread(figures.get("ratio"), times),
            )
        return table


def ratios(measurements: Sequence[Measurement]) -> dict[str, list[float]]:
    """Return the first contestant's rate to that of each, within each round.

    Whoever is measured in the same round meets the same machine. A round in which one of the two
    was over at once says nothing.
    """
    rates: dict[str, list[float | None]] = defaultdict(list)
    for measurement in measurements:
        rates[measurement.contestant].append(measurement.rate)
    ours = next(iter(rates.values()), [])
    found = {
        contestant: [our / their for our, their in zip(ours, theirs, strict=True) if our and their]
        for contestant, theirs in rates.items()
    }
    return {contestant: values for contestant, values in found.items() if values}


def _spread(spread: Spread | None, form: Callable[[float], str]) -> str:
    if spread is None:
        return _MISSING
    middle, low, high = (form(spread[name]) for name in ("median", "min", "max"))
    return f"{middle}\n{low}..{high}"
