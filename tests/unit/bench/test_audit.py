from __future__ import annotations

from bench.lab.audit import compare_rows, count

EXPECTED = {"a": ("delivered", "000"), "b": ("failed", "011")}


def test_all_is_well() -> None:
    check = compare_rows("CDRs", EXPECTED, [("b", "failed", "011"), ("a", "delivered", "000")])
    assert (check.compared, check.different) == (2, 0)


def test_tells_of_a_row_that_is_wrong() -> None:
    check = compare_rows("CDRs", EXPECTED, [("b", "failed", "011"), ("a", "expired", "000")])
    assert check.differences == ["a: found ['expired', '000'], expected ['delivered', '000']"]


def test_tells_of_a_row_that_is_missing() -> None:
    check = compare_rows("CDRs", EXPECTED, [("b", "failed", "011")])
    assert check.differences == ["a: found none, expected ['delivered', '000']"]


def test_tells_of_a_row_too_many() -> None:
    rows = [("a", "delivered", "000"), ("b", "failed", "011"), ("c", "failed", "011")]
    assert compare_rows("CDRs", EXPECTED, rows).different == 1


def test_tells_of_a_row_that_is_there_twice() -> None:
    rows = [("a", "delivered", "000"), ("b", "failed", "011"), ("a", "delivered", "000")]
    check = compare_rows("ledger", EXPECTED, rows)
    assert check.different == 1
    assert "twice" in check.differences[0]


def test_counts() -> None:
    assert count("events", 5, 5).different == 0
    check = count("events", 1000, 998)
    assert (check.different, check.differences) == (2, ["expected 1,000, found 998"])
