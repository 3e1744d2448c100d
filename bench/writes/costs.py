"""What the runs came to: a line for each batch size and way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.lab.result import Result, show_checks

_TITLE: Final = "Medians, each with how far the farthest run was from it"
_COLUMNS: Final[Mapping[str, tuple[str, Callable[[float], str]]]] = {
    "rate": ("rows/s", "{:,.0f}".format),
    "cpu_us.client": ("client µs", "{:.1f}".format),
    "cpu_us.backend": ("backend µs", "{:.1f}".format),
    "wal_bytes": ("WAL bytes", "{:,.0f}".format),
    "hot_share": ("HOT", "{:.0%}".format),
}


@dataclass
class Costs(Result):
    """Measurements of all ways at all batch sizes, in turn.

    Attributes:
        plan: of the service's statement, if it was asked for.
    """

    plan: str | None = None

    def content(self) -> dict[str, Any]:
        """Return it for JSON."""
        return super().content() | {"plan": self.plan}

    def show(self, console: Console) -> None:
        """Print the plan, figures, and what does not add up."""
        if self.plan:
            console.print(self.plan, markup=False, soft_wrap=True)
        console.print(self._table())
        show_checks(console, self.measurements)

    def _table(self) -> Table:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=_TITLE, title_justify="left")
        table.add_column("batch", justify="right", no_wrap=True)
        table.add_column("way", no_wrap=True)
        for title, _ in _COLUMNS.values():
            table.add_column(title, justify="right", no_wrap=True)
        settings = {each.contestant: each.settings for each in self.measurements}
        for name, figures in self.summary().items():
            table.add_row(
                f"{settings[name]['batch_size']:,}",
                settings[name]["way"],
                *(spread(figures.get(figure), form) for figure, (_, form) in _COLUMNS.items()),
            )
        return table


def spread(found: Mapping[str, float] | None, form: Callable[[float], str]) -> str:
    """Return a median, and by what share of it the farthest run differed."""
    if found is None:
        return "-"
    middle = found["median"]
    farthest = max(found["max"] - middle, middle - found["min"])
    return f"{form(middle)} ±{farthest / middle:.0%}" if farthest and middle else form(middle)
