"""Shows a reconciliation: to people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson

from service.quantities import quantity

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
        new = quantity(found.opened, "account is new: its", "accounts are new: their")
        yield f"  {new} opening balance was recorded, and a drift is found from now on"
    yield ""
    for result in found.results:
        if result.differences:
            yield f"DIFF  {result.check.claim}: {quantity(result.differences, 'differs', 'differ')}"
        else:
            yield f"ok    {result.check.claim}"
        for row in result.rows:
            yield f"        {row.key}: {row.detail}"
        if result.differences > len(result.rows):
            yield f"        and {result.differences - len(result.rows):,} more (--limit)"
    yield ""
    yield quantity(found.differences, "difference") if found.differences else "everything agrees"
