from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from rich.console import Console

from bench.lab.check import Check
from bench.lab.result import Measurement, Result


def measurement(rate: float, **changed) -> Measurement:
    fields = {
        "contestant": "billing-service",
        "settings": {"workers": 2},
        "workload": {"kind": "json", "seed": 1},
        "events": 10,
        "rate": rate,
        "cpu_us": {"workers": 5.0},
        "checks": [Check("CDRs", compared=10)],
    }
    return Measurement(**fields | changed)


def broken() -> Check:
    check = Check("CDRs", compared=10)
    check.differ("a: found none")
    return check


def shown(result: Result) -> str:
    console = Console(file=io.StringIO(), width=100)
    result.show(console)
    return console.file.getvalue()


def test_the_median_counts_and_the_spread_is_shown() -> None:
    result = Result("drain", [measurement(rate) for rate in (30.0, 10.0, 20.0)])
    assert result.summary()["billing-service"]["rate"] == {"median": 20.0, "min": 10.0, "max": 30.0}


def test_figures_that_were_not_measured_are_left_out() -> None:
    figures = measurement(1.0, wal_bytes=None).figures()
    assert figures == {"rate": 1.0, "cpu_us.workers": 5.0, "parked": 0}


def test_a_figure_that_only_some_runs_have_is_summarised_over_those() -> None:
    result = Result("drain", [measurement(1.0), measurement(2.0, cpu_us={})])
    workers = result.summary()["billing-service"]["cpu_us.workers"]
    assert workers == {"median": 5.0, "min": 5.0, "max": 5.0}


def test_reasons_that_a_run_had_none_of_are_zero() -> None:
    runs = [
        measurement(1.0, flushed_by={"size": 4, "age": 2}),
        measurement(1.0, flushed_by={"size": 4}),
    ]
    assert Result("drain", runs).summary()["billing-service"]["flushed_by.age"]["min"] == 0


def test_writes_json_and_csv(tmp_path: Path) -> None:
    path = tmp_path / "results" / "drain.json"
    runs = [measurement(1.5), measurement(2.5, flushed_by={"age": 3})]
    Result("drain", runs, {"broker": "RabbitMQ 3.10.8"}).write(path)
    content = json.loads(path.read_text())
    assert (content["command"], content["void"]) == ("drain", False)
    assert content["place"] == {"broker": "RabbitMQ 3.10.8"}
    assert content["machine"]["cores"] >= 1
    assert [m["rate"] for m in content["measurements"]] == [1.5, 2.5]
    with path.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rate"] for row in rows] == ["1.5", "2.5"]
    assert [row["flushed_by.age"] for row in rows] == ["", "3"]
    assert rows[0]["settings.workers"] == "2"
    assert rows[0]["void"] == "False"


def test_a_difference_makes_it_void(tmp_path: Path) -> None:
    result = Result("drain", [measurement(1.0), measurement(2.0, checks=[broken()])])
    assert result.is_void
    path = tmp_path / "drain.json"
    result.write(path)
    content = json.loads(path.read_text())
    assert content["void"]
    assert [m["void"] for m in content["measurements"]] == [False, True]
    assert "VOID: 1 of 2 runs" in shown(result)
    assert "a: found none" in shown(result)


def test_a_run_without_differences_counts() -> None:
    result = Result("drain", [measurement(12_345.6)])
    assert not result.is_void
    assert "every event is accounted for, once" in shown(result)
    assert "12,345.6" in shown(result)


def test_says_with_which_settings_it_was_measured() -> None:
    settings = {"batch_size": 1000, "receipt_log": False}
    result = Result("drain", [measurement(1.0, settings=settings)])
    text = " ".join(shown(result).split())
    assert "billing-service, batch size 1000, receipt log off" in text


def test_what_was_not_compared_does_not_count() -> None:
    for result in (Result("drain"), Result("drain", [measurement(1.0, checks=[])])):
        assert result.is_void
        assert "VOID" in shown(result)
        assert "accounted for" not in shown(result)
