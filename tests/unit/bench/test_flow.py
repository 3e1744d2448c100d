from __future__ import annotations

from bench.chaos.observer import Commit
from bench.cluster.flow import Sample, Span, effect, longest_pause

SPAN = Span("a host is cut off", "host-2", began=100.0, mended=110.0, calm_until=120.0)


def committed(*moments: float, redelivered: int = 0) -> list[Commit]:
    return [Commit(at, 100, redelivered, 0) for at in moments]


def test_rates_are_those_before_meanwhile_and_after() -> None:
    before = committed(*(92.5 + number for number in range(8)))
    during = committed(105.0)
    after = committed(111.0, 112.0, 113.0, 119.0, 121.0)
    found = effect(SPAN, before + during + after, [])
    assert (found.before, found.during, found.after) == (100, 10, 40)


def test_the_longest_pause_begins_with_the_fault_at_the_earliest() -> None:
    assert effect(SPAN, committed(50.0, 104.0, 116.5), []).commit_pause_s == 12.5
    assert effect(SPAN, committed(50.0), []).commit_pause_s == 20.0
    assert longest_pause([], 1.0, 3.0) == 2.0


def test_the_publisher_pauses_while_no_more_is_confirmed() -> None:
    samples = [Sample(100.0 + tick, min(tick, 3) if tick < 9 else tick) for tick in range(21)]
    assert effect(SPAN, [], samples).confirm_pause_s == 6.0


def test_what_came_again_is_counted_until_the_next_fault() -> None:
    commits = committed(99.0, 101.0, 119.0, 120.0, redelivered=7)
    assert effect(SPAN, commits, []).redelivered == 14
