"""The report: one HTML file, with nothing outside of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.lab.machine import commit, machine
from bench.tune.heat_map import draw_heat_map
from bench.tune.scatter import draw_scatter

if TYPE_CHECKING:
    from bench.tune.tuning import Tuning

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_report(tuning: Tuning, path: Path) -> None:
    """Write it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_TEMPLATES.get_template("report.html.j2").render(_content(tuning)))


def _content(tuning: Tuning) -> dict[str, Any]:
    standings = tuning.standings()
    finalists = [each for each in standings if tuning.is_final(each)]
    others = [each for each in standings if not tuning.is_final(each)]
    found = tuning.recommendation()
    chosen = found.standing if found else None
    return {
        "tuning": tuning,
        "found": found,
        "finalists": finalists,
        "others": others,
        "fastest": max((each.rate.high for each in standings), default=0) or 1,
        "heat_map": draw_heat_map(standings, tuning.refused),
        "scatter": draw_scatter(finalists, others, chosen, tuning.goal_ms),
        "refused": Counter(refusal.reason for refusal in tuning.refused),
        "latency": tuning.latency_note(),
        "machine": machine(),
        "commit": commit(),
    }
