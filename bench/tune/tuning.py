"""What tuning came to: a table, a recommendation, files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.lab.result import Result, show_checks
from bench.lab.workload import Workload
from bench.tune.cell import Cell, Refusal
from bench.tune.recommend import Recommendation, recommend, toml
from bench.tune.report import write_report
from bench.tune.standing import Standing, standings

_DERIVED: Final = (
    "the flush interval, which an event waits for its batch at most, and the 99th percentile of "
    "the commits of a full drain."
)


@dataclass
class Tuning(Result):
    """Drains with many settings.

    Attributes:
        workload: of a finalist.
        others: settings of the queue that all cells have.
        goal_ms: what the 99th percentile of latency may be.
        refused: what was not tried.
        finalists: the cells that were left in the end.
        report: where the report is written; by default beside the result.
    """

    workload: Workload = field(kw_only=True)
    others: Mapping[str, Any] = field(kw_only=True)
    goal_ms: float = field(kw_only=True)
    refused: Sequence[Refusal] = ()
    finalists: Sequence[Cell] = ()
    report: Path | None = None

    def standings(self) -> list[Standing]:
        """Return where every cell stands: finalists first, the fastest before the others."""
        found = standings(self.measurements)
        return sorted(found, key=lambda each: (not self.is_final(each), -each.rate.median))

    def is_final(self, standing: Standing) -> bool:
        """Whether a cell is a finalist."""
        return standing.cell in self.finalists

    def recommendation(self) -> Recommendation | None:
        """Return what to run with; None where an event was lost under every finalist."""
        return recommend([each for each in self.standings() if self.is_final(each)], self.goal_ms)

    def block(self, standing: Standing) -> str:
        """Return a cell as lines of config/billing.toml."""
        return toml(standing, self.workload.stream, self.others)

    def latency_note(self) -> str:
        """Say what the latencies are."""
        rate = next((each.due_rate for each in self.measurements if each.due_rate), None)
        if rate is None:
            return f"p99 is derived, not measured: {_DERIVED}"
        return (
            "p99 of finalists is measured, from when an event was due to be published to its "
            f"commit, at {rate:,.0f} events/s, half of what the fastest keeps up with while they "
            f"are being published. That of the others is derived: {_DERIVED}"
        )

    def content(self) -> dict[str, Any]:
        """Return it as it is written."""
        found = self.recommendation()
        recommended = found and {
            "settings": found.standing.cell._asdict(),
            "rate": found.standing.rate._asdict(),
            "p99_ms": found.standing.p99_ms,
            "p99_is_measured": found.standing.paced_p99_ms is not None,
            "keeps_goal": found.keeps_goal,
            "reason": found.reason,
        }
        return super().content() | {
            "goal_ms": self.goal_ms,
            "latency": self.latency_note(),
            "recommendation": recommended,
            "finalists": [cell._asdict() for cell in self.finalists],
            "refused": [{**cell._asdict(), "reason": why} for cell, why in self.refused],
        }

    def write(self, path: Path) -> None:
        """Write JSON, CSV and the report. Raises OSError."""
        super().write(path)
        self.report = self.report or path.with_suffix(".html")
        write_report(self, self.report)

    def show(self, console: Console) -> None:
        """Print a line for each cell, what does not add up, and the recommendation."""
        console.print(self._table())
        console.print(self.latency_note(), style="dim")
        show_checks(console, self.measurements)
        if (found := self.recommendation()) is None:
            console.print("nothing to recommend: no finalist is sound", style="bold red")
        else:
            style = "bold green" if found.keeps_goal else "bold yellow"
            console.print(f"\n{found.standing.cell}", style=style)
            console.print(found.reason)
            console.print("\nfor config/billing.toml, in place of its own lines:\n")
            console.print(self.block(found.standing), markup=False)
        console.print(f"report: {self.report}", soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=_TITLE, title_justify="left")
        table.show_edge = table.pad_edge = False
        for column in _COLUMNS:
            table.add_column(column, justify="right", no_wrap=True)
        for standing in self.standings():
            style = "red" if standing.is_void else "" if self.is_final(standing) else "dim"
            table.add_row(*_cells(standing), style=style)
        return table


_TITLE: Final = "Cells, finalists first"
_COLUMNS: Final = (
    *("batch", "prefetch", "workers", "flush"),
    *("events/s", "from..to", "p99 ms", "CPU µs", "runs"),
)


def _cells(standing: Standing) -> list[str]:
    rate = standing.rate
    return [
        *map(str, standing.cell),
        f"{rate.median:,.0f}",
        f"{rate.low:,.0f}..{rate.high:,.0f}",
        "void" if standing.is_void else f"{standing.p99_ms:.0f}",
        "" if standing.cpu_us is None else f"{standing.cpu_us:.1f}",
        f"{standing.runs}",
    ]
