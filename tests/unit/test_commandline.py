from __future__ import annotations

from datetime import timedelta

import pytest
import typer

from service.commandline import duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        (" 7D ", timedelta(days=7)),
        ("0s", timedelta()),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, expected):
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "7", "h", "-1h", "1.5h", "1h30m", "1w", "٣h", "9" * 30 + "d"])
def test_anything_else_is_no_duration(text):
    with pytest.raises(typer.BadParameter, match=r"is no duration|is too long"):
        duration(text)
