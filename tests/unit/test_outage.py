from __future__ import annotations

from types import SimpleNamespace

import pytest

from service import outage
from service.outage import Outage

AWAY, BACK = "PostgreSQL is away; trying again", "PostgreSQL is back"


@pytest.fixture
def clock(monkeypatch):
    """What the time is; ``clock.now`` may be changed."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(outage, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def attempts(away: Outage, clock, seconds: int) -> None:
    """Fail once a second."""
    for _ in range(seconds):
        away.goes_on("connection refused", attempt=7)
        clock.now += 1


def test_an_outage_is_told_at_once_then_once_a_minute_with_how_long_it_has_been(logged, clock):
    attempts(Outage("PostgreSQL", "db.example:5432"), clock, seconds=150)
    assert [line["event"] for line in logged] == [AWAY] * 3
    assert {line["log_level"] for line in logged} == {"error"}
    assert {line["server"] for line in logged} == {"db.example:5432"}
    assert {line["error"] for line in logged} == {"connection refused"}
    assert [line.get("away_s") for line in logged] == [None, 60, 120]
    assert [line["attempt"] for line in logged] == [7, 7, 7]


def test_its_end_is_told_once_and_the_next_one_at_once(logged, clock):
    away = Outage("PostgreSQL", "db.example:5432")
    away.ends()
    attempts(away, clock, seconds=30)
    away.ends()
    away.ends()
    attempts(away, clock, seconds=3)
    assert [line["event"] for line in logged] == [AWAY, BACK, AWAY]
    assert logged[1] == {
        "event": BACK,
        "log_level": "info",
        "server": "db.example:5432",
        "away_s": 30,
    }
    assert "away_s" not in logged[2]
