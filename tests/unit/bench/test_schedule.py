from __future__ import annotations

from itertools import islice

from bench.chaos.faults import FAULTS
from bench.chaos.schedule import SHORT, STEADY, blows


def test_every_kind_strikes_once_before_any_strikes_again() -> None:
    for seed in range(20):
        first = [blow.fault.name for blow in islice(blows(seed, FAULTS, STEADY), len(FAULTS))]
        assert sorted(first) == sorted(fault.name for fault in FAULTS)


def test_a_seed_makes_one_schedule() -> None:
    one, same, other = (list(islice(blows(seed, FAULTS, SHORT), 30)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_some_strike_together_and_some_last_long() -> None:
    sample = list(islice(blows(1, FAULTS, STEADY), 100))
    assert {blow.together for blow in sample} == {True, False}
    assert max(blow.seconds for blow in sample) > STEADY.lasting[1]


def test_without_faults_there_are_no_blows() -> None:
    assert list(blows(1, (), STEADY)) == []
