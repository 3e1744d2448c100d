from __future__ import annotations

import pytest

from service import deaths
from service.deaths import Deaths


@pytest.mark.parametrize("workers", [1, 4])
def test_all_workers_dying_at_once_are_a_loop(workers):
    seen = Deaths()
    for number in range(deaths.PER_WORKER * workers):
        assert not seen.are_a_loop(workers)
        seen.add(number * 0.1)
    assert seen.are_a_loop(workers)


def test_deaths_that_are_far_apart_are_not():
    seen = Deaths()
    for number in range(100):
        seen.add(number * deaths.WINDOW_SECONDS / (deaths.PER_WORKER - 1) * 1.01)
        assert not seen.are_a_loop(1)


def test_one_bad_worker_among_good_ones_is_not():
    """Its backoff keeps it at about one death in ten seconds."""
    seen = Deaths()
    for number in range(100):
        seen.add(number * 10.0)
    assert not seen.are_a_loop(2)
