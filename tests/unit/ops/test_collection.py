"""What the supervisor makes of the files in which processes keep their metrics."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service import run_directory
from service.ops import collection

# Counts as a worker does: two events, one batch of three, and what it saw at some moment.
WORKER = """
import os
from service.ops import metrics
metrics.EVENTS.labels("dlr", "applied").inc(2)
metrics.BATCH_EVENTS.labels("dlr").observe(3)
metrics.UNACKNOWLEDGED.labels("dlr").set(7)
metrics.PARKED.labels("dlr").set({parked})
print(os.getpid())
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(run_directory.VARIABLE, str(tmp_path))
    return tmp_path


def die(parked: int = 0) -> int:
    """Be a process that counts and ends; return its number."""
    command = [sys.executable, "-c", WORKER.format(parked=parked)]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def scrape() -> dict[tuple[str, ...], float]:
    """Return what is served, by name and labels, without what is zero."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(collection.render().decode())
        for sample in family.samples
        if sample.value
    }


def test_a_file_that_is_only_just_there_hides_nothing(directory: Path) -> None:
    die()
    before = scrape()
    (directory / "counter_1.db").touch()
    (directory / "gauge_livesum_1.db").touch()
    assert scrape() == before
    collection.bury(1)
    assert scrape() == before


def test_what_the_dead_have_counted_stays() -> None:
    collection.bury(die(parked=5))
    die(parked=4)
    found = scrape()
    assert found["billing_events_total", "applied", "dlr"] == 4
    assert found["billing_batch_events_sum", "dlr"] == 6
    assert found["billing_batch_events_count", "dlr"] == 2
    assert found["billing_batch_events_bucket", "10.0", "dlr"] == 2
    assert found["billing_parked", "dlr"] == 4
    assert found["billing_unacknowledged", "dlr"] == 7, "of the one that was not buried"


def test_what_the_dead_saw_last_counts_in_whatever_order_they_are_buried() -> None:
    first, last = die(parked=5), die(parked=4)
    collection.bury(last)
    collection.bury(first)
    assert scrape()["billing_parked", "dlr"] == 4


def test_a_burial_changes_no_figure_but_those_of_the_living(directory: Path) -> None:
    dead = [die(parked=n) for n in range(1, 4)]
    before = scrape()
    for pid in dead:
        collection.bury(pid)
    del before["billing_unacknowledged", "dlr"]
    assert scrape() == before
    assert {file.name for file in directory.iterdir()} == {
        "counter_dead.db",
        "gauge_mostrecent_dead.db",
        "histogram_dead.db",
    }
