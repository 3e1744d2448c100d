from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from service.status import view
from service.status.document import (
    Headline,
    Health,
    History,
    Money,
    Spread,
    Status,
    Stream,
    Tally,
    Worker,
    WorkerState,
)
from service.status.top import NoAnswer, read

STREAM = Stream(
    queue="billing_service.dlr",
    rate=123.4,
    settled=1_234_567,
    waiting=12_345,
    in_hand=2000,
    lag=None,
    commit=Spread(0.0042, 12.5),
    batch=7.25,
    batch_size=1000,
    flushed_by={"age": 0.2, "size": 0.8},
    outcomes={"applied": 1_234_567},
    parked=3,
    parked_oldest_s=3725,
    dead_letters={"malformed": 2},
    dead_waiting=2,
    redelivered=0,
)
STATUS = Status(
    at=1e9,
    version="1.2.3",
    host="host.example",
    pid=1,
    uptime_s=200_000,
    interval_s=2,
    headline=Headline("Database away", "holding 2,000 events", Health.BAD, 61),
    workers=[
        Worker(1, WorkerState.DATABASE_AWAY, "half-open", 12_345, 3600, 90 * 2**20, 2, 1),
        Worker(2, WorkerState.MISSING, "no worker"),
    ],
    streams={"dlr": STREAM, "bill": STREAM},
    statuses={"delivered": Tally(1_000_000, 12.5), "failed": Tally(500_000, 0)},
    money=Money(4, 100, {"refund": 9, "given up": 1}),
    history=History(600, [10.0, 0.0], {"dlr": [3.0, 4.0], "bill": [0.0, 0.0]}),
)


def shown(renderable) -> str:
    text = StringIO()
    Console(width=80, file=text).print(renderable)
    return text.getvalue()


def test_everything_fits_in_80_columns():
    text = shown(view.render(STATUS))
    assert max(map(len, text.splitlines())) <= 80
    for part in (
        "✖ Database away for 1 min 1 s  holding 2,000 events",
        "billing-service 1.2.3 on host.example, up 2 d 7 h",
        "4.2 ms / 12 s",
        "7.2 of 1,000",
        "size 80 %",
        "3, 1 h 2 min",
        "1,000,000",
        "refunds booked",
        "given up",
        "half-open",
        "90 MB",
    ):
        assert part in text
    assert "…" not in text


def test_what_is_lost_is_said_before_what_was_known():
    text = shown(view.lost(STATUS, "nothing answers"))
    assert text.index("No answer  nothing answers; trying again") < text.index("Database away")


def test_the_newest_rate_is_at_the_right():
    history = History(600, [599, 301, 299, 0], {"dlr": [8.0, 8.0, 2.0, 4.0]})
    assert view.sparkline(history, "dlr", 4) == "██▃▅"
    assert view.sparkline(history, "dlr", 6) == "█ █▃ ▅"


def test_where_nothing_is_known_nothing_is_drawn():
    history = History(600, [1], {"dlr": [0.0]})
    assert view.sparkline(history, "dlr", 3) == "  ▁"


@pytest.mark.parametrize("answer", [b"", b"<html>", b"{}", b'{"at": "now"}'])
def test_what_is_no_status_is_refused(answer):
    with pytest.raises(NoAnswer, match="cannot be read"):
        read(answer)
