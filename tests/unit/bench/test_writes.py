from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.lab.result import Measurement
from bench.lab.workload import Workload
from bench.writes.command import sizes_of
from bench.writes.costs import Costs
from bench.writes.measure import Task
from bench.writes.ways import copy_text
from service.store.columns import column


def test_columns_become_rows_that_copy_reads_as_they_are() -> None:
    columns = column(["a", "b"]), column([None, "x\ty"]), column(["c:\\new\r\n", "\\N"])
    assert copy_text(columns) == b"a\x1f\x1e\x1fc:\\\\new\\r\\n\nb\x1fx\ty\x1f\\\\N"


def test_rows_of_a_batch_are_in_the_order_that_is_asked_for() -> None:
    workload = Workload(events=10, cdrs=20)
    published = [workload.sms(number).message_id for number in workload.numbers]
    batches = {order: Task(workload, 4, order).batches() for order in ("key", "random")}
    ids = {
        order: [[receipt.message_id for receipt in batch] for batch in found]
        for order, found in batches.items()
    }
    assert ids["random"] == [published[:4], published[4:8], published[8:]]
    assert ids["key"] == [sorted(batch) for batch in ids["random"]]
    assert ids["key"] != ids["random"]


def test_batch_sizes_are_tried_from_small_to_large_and_each_once() -> None:
    assert sizes_of("1000,100,1000", events=1000) == (100, 1000)


@pytest.mark.parametrize("text", ["", "100,", "ten", "0,100", "-5", "100,1001"])
def test_batch_sizes_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        sizes_of(text, events=1000)


def test_each_way_and_batch_size_has_a_line_with_medians_and_spread(tmp_path: Path) -> None:
    costs = Costs("writes", plan="Update on sms_cdr [c]")
    for way, rates in {"texts": (90.0, 100.0, 120.0), "copy": (50.0, 50.0, 50.0)}.items():
        settings = {"way": way, "batch_size": 1000}
        costs.measurements += [
            Measurement(f"{way}, 1000", settings, {}, events=10, rate=rate, hot_share=hot)
            for rate, hot in zip(rates, (0.0, 0.0, 0.1), strict=True)
        ]
    console = Console(file=io.StringIO(), width=100)
    costs.show(console)
    shown = console.file.getvalue().splitlines()
    assert shown[0] == "Update on sms_cdr [c]"
    texts, copy = (line.split() for line in shown if line.strip().startswith("1,000"))
    assert texts == ["1,000", "texts", "100", "±20%", "-", "-", "-", "0%"]
    assert copy[1:3] == ["copy", "50"]
    costs.write(tmp_path / "costs.json")
    written = json.loads((tmp_path / "costs.json").read_text())
    assert written["plan"] == "Update on sms_cdr [c]"
    assert written["summary"]["texts, 1000"]["rate"] == {"median": 100, "min": 90, "max": 120}
