from __future__ import annotations

import pytest

from bench.chaos.result import Result
from bench.lab.check import Check, add_up


def differing() -> Check:
    return Check("balances").compare({"a": 1}, {"a": 2})


@pytest.mark.parametrize(
    ("expected", "found", "difference"),
    [
        ({"a": 1}, {"a": 2}, "a: expected 1, found 2"),
        ({"a": 1}, {}, "a: expected 1, not found"),
        ({}, {"a": 1}, "a: not expected, found 1"),
        ({"a": None}, {}, "a: expected None, not found"),
        ({}, {"a": None}, "a: not expected, found None"),
    ],
)
def test_tells_what_differs(expected, found, difference: str) -> None:
    check = Check("CDRs").compare(expected, found)
    assert (check.different, check.differences) == (1, [difference])


def test_finds_nothing_where_nothing_differs() -> None:
    check = Check("CDRs").compare({"a": 1, "b": None}, {"b": None, "a": 1})
    assert (check.compared, check.different) == (2, 0)


def test_what_compared_nothing_does_not_add_up() -> None:
    assert not add_up([])
    assert not add_up([Check("CDRs"), Check("parked")])
    assert add_up([Check("CDRs", compared=1), Check("parked")])
    assert not add_up([Check("CDRs", compared=1), differing()])


def test_a_run_passes_only_once_something_was_compared() -> None:
    sound = Check("CDRs", compared=1)
    assert Result("chaos", 1, checks=[sound]).passed
    assert not Result("chaos", 1).passed
    assert not Result("chaos", 1, checks=[differing()]).passed
    assert not Result("chaos", 1, checks=[sound], problems=["worker failed"]).passed
