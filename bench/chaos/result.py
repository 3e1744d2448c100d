"""What a run came to: as a dict for JSON, and as tables."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from bench.chaos.storm import Struck
from bench.lab.check import Check, add_up
from bench.lab.machine import machine

SHOWN: Final = 10


@dataclass
class Result:
    """Figures, checks and problems of one run.

    Attributes:
        scenario: which one.
        seed: of the plan and of the faults.
        figures: what else is told, by name.
        checks: what was compared.
        struck: every blow.
        problems: what went wrong besides what the checks say.
    """

    scenario: str
    seed: int
    figures: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    struck: list[Struck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether something was compared, and there is no difference and no problem."""
        return not self.problems and add_up(self.checks)

    def write(self, path: Path) -> None:
        """Write all of it as JSON. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "scenario": self.scenario,
            "verdict": "passed" if self.passed else "failed",
            "seed": self.seed,
            "machine": machine(),
            **self.figures,
            **self.details(),
            "checks": [vars(check) for check in self.checks],
            "faults": by_kind(self.struck),
            "timeline": [vars(blow) for blow in self.struck],
            "problems": self.problems,
        }
        path.write_text(json.dumps(content, indent=2, default=str) + "\n")

    def details(self) -> dict[str, Any]:
        """Return what else belongs into the JSON, and into no table of figures."""
        return {}

    def show(self, console: Console) -> None:
        """Print tables and verdict."""
        console.print(Group(*self._tables()))
        for text in [*_differences(self.checks), *self.problems[:SHOWN]]:
            console.print(text, style="red", markup=False, soft_wrap=True)
        if len(self.problems) > SHOWN:
            console.print(f"… and {len(self.problems) - SHOWN} problems more", style="red")
        verdict = "passed: no difference" if self.passed else "FAILED"
        style = "bold green" if self.passed else "bold red"
        console.print(Text(f"{self.scenario}, seed {self.seed}: {verdict}", style))

    def _tables(self) -> list[Table]:
        figures = _table("Figures", "", "")
        for name, value in self.figures.items():
            figures.add_row(name.replace("_", " "), _text(value))
        checks = _table("Compared with the model", "what", "compared", "different")
        for check in self.checks:
            style = "red" if check.different else ""
            checks.add_row(check.what, f"{check.compared:,}", f"{check.different:,}", style=style)
        faults = _table("Faults", "kind", "struck", "longest s", "recovery s, median", "worst")
        for kind, row in by_kind(self.struck).items():
            faults.add_row(kind, *(_text(value) for value in row.values()))
        return [figures, checks] + ([faults] if self.struck else [])


def by_kind(struck: Sequence[Struck]) -> dict[str, dict[str, float | None]]:
    """Return for each kind of fault how often it struck, how long it lasted, and the recovery.

    A recovery that another fault got in the way of tells nothing, and is left out.
    """
    kinds: dict[str, list[Struck]] = defaultdict(list)
    for blow in struck:
        kinds[blow.name].append(blow)
    rows = {}
    for kind, blows in sorted(kinds.items()):
        recoveries = [
            blow.recovery
            for blow in blows
            if blow.recovery is not None and not _is_overtaken(blow, struck)
        ]
        rows[kind] = {
            "struck": len(blows),
            "longest_s": round(max((blow.mended_at or blow.at) - blow.at for blow in blows), 2),
            "recovery_median_s": round(median(recoveries), 2) if recoveries else None,
            "recovery_worst_s": round(max(recoveries), 2) if recoveries else None,
        }
    return rows


def _is_overtaken(blow: Struck, struck: Sequence[Struck]) -> bool:
    """Whether another blow kept the service from committing after this one."""
    return any(
        other is not blow
        and other.at < (blow.committed_at or 0)
        and (other.mended_at or 0) > (blow.mended_at or 0)
        for other in struck
    )


def _differences(checks: Sequence[Check]) -> list[str]:
    lines = []
    for check in checks:
        lines += [f"{check.what}: {text}" for text in check.differences]
        if check.different > len(check.differences):
            lines.append(f"{check.what}: … and {check.different - len(check.differences)} more")
    return lines


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str("-" if value is None else value)
