"""What bad rows cost is measured on runs in which exactly those are refused."""

from __future__ import annotations

import pytest

from bench import bad_rows
from bench.lab.database import Database
from bench.lab.workload import Workload

WORKLOAD = Workload(events=300, cdrs=300, accounts=5)


async def test_runs_with_and_without_bad_rows_take_turns(tables: Database) -> None:
    result = await bad_rows.play(tables, WORKLOAD, bad=7, repeats=2)
    assert not result.is_void
    assert [each.settings["bad"] for each in result.measurements] == [0, 7, 0, 7]
    assert len(result.ratios) == 2
    assert min(result.ratios) > 0


async def test_a_run_in_which_a_bad_row_is_not_refused_is_void(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad_rows, "_CONSTRAINT", "SELECT 1")
    measurement = await bad_rows.measure(tables, WORKLOAD, 7)
    assert [check.different for check in measurement.checks] == [7, 7]
