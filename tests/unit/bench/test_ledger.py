"""Whether `make run` says that it adds up, and but for what."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from bench.demo.ledger import Ledger


def ledger(queued: int) -> Ledger:
    sender = SimpleNamespace(published=Counter(dlr=100), rubbish=0)
    return Ledger(sender, parked=0, queued=queued)


def at_the_end(settled: int) -> SimpleNamespace:
    return SimpleNamespace(settled=settled, dead=0, parked=0)


@pytest.mark.parametrize(("settled", "differs"), [(100, False), (99, True), (101, True)])
def test_without_an_earlier_run_every_event_counts(settled: int, differs: bool) -> None:
    account = ledger(queued=0)
    assert bool(account.problems(at_the_end(settled), 0)) == differs
    assert account.verdict() == "every event is accounted for"


@pytest.mark.parametrize(
    ("settled", "differs"), [(99, True), (100, False), (120, False), (121, True)]
)
def test_what_a_killed_run_left_is_told(settled: int, differs: bool) -> None:
    account = ledger(queued=10)
    assert bool(account.problems(at_the_end(settled), 0)) == differs
    assert account.verdict().endswith("but for 10 left by an earlier run")
