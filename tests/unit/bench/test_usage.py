from __future__ import annotations

import os
import subprocess
import time

import psutil
import pytest

from bench.lab.usage import CpuClock, Usage, cpu_seconds, sampled


def test_cpu_is_interpolated_between_samples() -> None:
    clock = CpuClock()
    for at, seconds in ((10.0, 3.0), (11.0, 4.0), (12.0, 4.5)):
        clock.sample(at, {"worker": seconds})
    assert clock.between(10.5, 11.5) == pytest.approx(0.75)
    assert clock.between(10.0, 12.0) == pytest.approx(1.5)


def test_what_was_used_before_the_window_does_not_count() -> None:
    clock = CpuClock()
    clock.sample(0.0, {})
    clock.sample(1.0, {"worker": 5.0})  # start-up
    clock.sample(2.0, {"worker": 5.0})
    clock.sample(3.0, {"worker": 6.0})
    assert clock.between(2.0, 3.0) == pytest.approx(1.0)


def test_a_process_that_has_ended_is_not_forgotten() -> None:
    clock = CpuClock()
    clock.sample(1.0, {"a": 1.0, "b": 2.0})
    clock.sample(2.0, {"a": 1.5})
    clock.sample(3.0, {"a": 2.0, "c": 0.25})
    assert clock.between(1.0, 3.0) == pytest.approx(1.25)


def test_reads_the_cpu_time_of_a_process() -> None:
    before = time.process_time()
    found = cpu_seconds(os.getpid())
    assert before <= found <= time.process_time()


def test_a_process_that_is_gone_has_no_cpu_time() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(ProcessLookupError):
        cpu_seconds(child.pid)


async def test_samples_living_processes() -> None:
    groups = {"us": lambda: [psutil.Process(os.getpid())], "nobody": list}
    async with sampled(groups) as usage:
        pass
    assert usage.peak_rss["us"] > 2**20
    assert usage.peak_rss["nobody"] == 0
    assert set(usage.cpu_seconds(0.0, 1.0)) == {"us"}


async def test_a_failure_to_sample_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Usage) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Usage, "sample", fail)
    with pytest.raises(ZeroDivisionError):
        async with sampled({}):
            pass
