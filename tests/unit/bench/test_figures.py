from __future__ import annotations

import pytest

from bench.lab import figures
from bench.lab.contestant import Batch, batch_of


def test_throughput_leaves_out_what_came_before_the_first_commit() -> None:
    batches = [Batch(12.0, 500), Batch(10.0, 1000), Batch(14.0, 1000)]  # two workers, merged
    window = figures.window(batches)
    assert window == (10.0, 14.0, 1500)
    assert window.seconds == 4.0


@pytest.mark.parametrize("batches", [[], [Batch(1.0, 10)], [Batch(1.0, 10), Batch(1.0, 20)]])
def test_a_run_that_is_over_at_once_has_no_throughput(batches: list[Batch]) -> None:
    assert figures.window(batches) is None


def test_reads_a_line_of_the_service_and_one_that_says_the_least() -> None:
    line = {"event": "batch", "size": 7, "timestamp": "2026-11-24T06:30:00.123456Z"}
    assert batch_of(line) == Batch(1795501800.123456, 7)
    told = {"flushed_by": "age", "commit_ms": 1.5, "parked": 2, "applied": 5, "stream": "dlr"}
    assert batch_of(line | told) == Batch(1795501800.123456, 7, "age", 1.5, 2)


def test_sizes_and_reasons() -> None:
    batches = [Batch(1, 1000, "size"), Batch(2, 1000, "size"), Batch(3, 100, "age")]
    assert figures.batch_sizes(batches) == {"count": 3, "median": 1000, "mean": 700.0}
    assert figures.flush_reasons(batches) == {"size": 2, "age": 1}
    assert figures.batch_sizes([]) == {"count": 0}


def test_commit_percentiles_are_of_those_that_say_it() -> None:
    batches = [Batch(n, 1, commit_ms=float(n)) for n in range(1, 102)] + [Batch(0, 1)]
    assert figures.commit_times(batches) == {"p50": 51.0, "p95": 96.0, "p99": 100.0, "max": 101.0}
    assert figures.commit_times([Batch(0, 1)]) == {}
