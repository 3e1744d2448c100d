"""Shows what was found: to people, and as JSON."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Final

import orjson
import typer

from service.doctor.finding import Level
from service.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.doctor.examination import Area
    from service.doctor.finding import Finding

_MARKS: Final = {
    Level.OK: ("ok", typer.colors.GREEN),
    Level.UNKNOWN: ("?", typer.colors.CYAN),
    Level.WARNING: ("warning", typer.colors.YELLOW),
    Level.PROBLEM: ("PROBLEM", typer.colors.RED),
}
_INDENT: Final = " " * 10
_NARROWEST: Final = 40
_UNLIMITED: Final = 1_000_000


def count(areas: Sequence[Area]) -> Counter[Level]:
    """Return how many findings there are of each level."""
    return Counter(finding.level for area in areas for finding in area.findings)


def as_json(areas: Sequence[Area]) -> str:
    """Return everything as one JSON object."""
    counts = count(areas)
    return orjson.dumps(
        {
            "ok": not counts[Level.PROBLEM],
            "problems": counts[Level.PROBLEM],
            "warnings": counts[Level.WARNING],
            "unknown": counts[Level.UNKNOWN],
            "findings": [
                {"area": area.name, **finding._asdict()}
                for area in areas
                for finding in area.findings
            ],
        },
        option=orjson.OPT_INDENT_2,
    ).decode()


def as_text(areas: Sequence[Area]) -> str:
    """Return a report, a line for each finding, with what to do below it."""
    return "\n".join(_lines(areas))


def _lines(areas: Sequence[Area]) -> Iterator[str]:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNLIMITED
    for area in areas:
        yield typer.style(area.name, bold=True)
        for finding in area.findings:
            yield from _shown(finding, width)
        yield ""
    yield _summary(count(areas))


def _summary(counts: Counter[Level]) -> str:
    """Say how many of each kind there are."""
    problems, warnings = counts[Level.PROBLEM], counts[Level.WARNING]
    parts = {
        quantity(problems, "problem"): problems,
        quantity(warnings, "warning"): warnings,
        f"{counts[Level.UNKNOWN]} not looked at": counts[Level.UNKNOWN],
    }
    return ", ".join(text for text, number in parts.items() if number) or "all is well"


def _shown(finding: Finding, width: int) -> Iterator[str]:
    mark, colour = _MARKS[finding.level]
    remedy = f"-> {finding.remedy}" if finding.remedy else ""
    room = max(_NARROWEST, width - len(_INDENT))
    first, *rest = [*textwrap.wrap(finding.says, room), *textwrap.wrap(remedy, room)]
    yield typer.style(f"{mark:<{len(_INDENT)}}", fg=colour) + first
    for line in rest:
        yield _INDENT + line
