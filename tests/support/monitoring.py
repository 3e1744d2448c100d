"""The dashboard and the alerts in config/, and the queries that they are made of."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

from bench import PROJECT

DASHBOARD: Final = PROJECT / "config/grafana/billing-service.json"
PROMETHEUS: Final = PROJECT / "config/prometheus"
RULES: Final = PROMETHEUS / "rules.yml"

_ALERT: Final = re.compile(r"- alert: (\w+)$", re.MULTILINE)
# On the line of its key, or in a block below it that is indented further.
_EXPR: Final = re.compile(r"^( +)expr: (?:\|\n((?:\1 +.*\n)+)|(.+)\n)", re.MULTILINE)

_SPACE: Final = r"\s*"
_STRING: Final = r'"(?:[^"\\]|\\.)*"'
_RANGES: Final = re.compile(r"\[[^]]*\]")
_GROUPING: Final = re.compile(rf"\b(?:by|without|on|ignoring){_SPACE}\(([^)]*)\)")
_MATCHER: Final = re.compile(rf"(\w+){_SPACE}[=!]~?{_SPACE}{_STRING}")
_SELECTOR: Final = re.compile(
    rf"\b(?P<name>[a-zA-Z_:][\w:]*)\b(?!{_SPACE}\()"  # without what is called
    rf"(?P<matchers>{_SPACE}\{{(?:[^}}\"]|{_STRING})*\}})?"
)
_OPERATORS: Final = {"and", "or", "unless", "bool", "offset", "group_left", "group_right"}


class Selector(NamedTuple):
    """What a query asks Prometheus for: series of a name, and the labels that it looks at."""

    name: str
    labels: set[str]


def selectors(query: str) -> list[Selector]:
    """Return the series that a query of PromQL is about."""
    text = _GROUPING.sub(" ", _RANGES.sub(" ", query))
    return [
        Selector(found["name"], set(_MATCHER.findall(found["matchers"] or "")))
        for found in _SELECTOR.finditer(text)
        if found["name"] not in _OPERATORS
    ]


def grouping(query: str) -> set[str]:
    """Return the labels that a query groups or joins by."""
    return set(re.findall(r"\w+", " ".join(_GROUPING.findall(query))))


def alerts() -> dict[str, str]:
    """Return the query of each alert."""
    rules = RULES.read_text()
    queries = [block or line for _, block, line in _EXPR.findall(rules)]
    return dict(zip(_ALERT.findall(rules), queries, strict=True))


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    return json.loads(DASHBOARD.read_text())


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard, without the headings of its rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def targets() -> list[dict[str, Any]]:
    """Return every query of the dashboard, with what it says beside the PromQL."""
    return [target for panel in panels() for target in panel["targets"]]
