"""Shows a reconciliation: to people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from service.store.reconcile import Reconciliation


def as_json(found: Reconciliation) -> str:
    """Return everything as one JSON object."""
    return orjson.dumps(
        {
            "ok": not found.differences,
            "compared": found.compared,
            "openings_recorded": found.opened,
            "checks": [
                {
                    "name": result.check.name,
                    "claim": result.check.claim,
                    "differences": result.differences,
                    "rows": [row._asdict() for row in result.rows],
                }
                for result in found.results
            ],
        },
        option=orjson.OPT_INDENT_2,
    ).decode()


def as_text(found: Reconciliation) -> str:
    """Return a report, a line for each check, with the rows that differ below it."""
    return "\n".join(_lines(found))


def _lines(found: Reconciliation) -> Iterator[str]:
    for name, count in found.compared.items():
        yield f"  {name.replace('_', ' '):<16} {count:>12,}"
    if found.opened:
        yield (
            f"  {found.opened} accounts are new: their opening balance was recorded, "
            "and a drift is found from now on"
        )
    yield ""
    for result in found.results:
        mark = "ok  " if not result.differences else "DIFF"
        differ = f": {result.differences:,} differ" if result.differences else ""
        yield f"{mark}  {result.check.claim}{differ}"
        for row in result.rows:
            yield f"        {row.key}: {row.detail}"
        if result.differences > len(result.rows):
            yield f"        and {result.differences - len(result.rows):,} more (--limit)"
    yield ""
    yield f"{found.differences:,} differences" if found.differences else "everything agrees"
