from __future__ import annotations

import pytest

from service.durations import short, span


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3725, "1 h 2 min"),
        (86_400, "24 h"),
        (172_800, "2 d"),
        (200_000, "2 d 7 h"),
    ],
)
def test_a_span_has_its_two_largest_units(seconds, expected):
    assert span(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.00123, "1.2 ms"), (0.25, "250 ms"), (2.34, "2.3 s"), (61, "1 min 1 s")],
)
def test_a_short_time_has_about_two_digits(seconds, expected):
    assert short(seconds) == expected
