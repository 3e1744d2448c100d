from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.lab.check import Check
from bench.lab.result import Measurement
from bench.peers.chart import times
from bench.peers.common import Tally, decode, tell
from bench.peers.comparison import Comparison, ratios
from bench.peers.plain import best

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


SAME = {"median": 1, "min": 1, "max": 1}


def measured(contestant: str, rate: float | None, *, is_void: bool = False) -> Measurement:
    settings = {"workers": 2, "prefetch": 2000, "batch_size": 1000}
    checks = [Check("status", compared=1, different=int(is_void))]
    return Measurement(contestant, settings, {}, events=3000, rate=rate, checks=checks)


def body(message_id: str = "m1", status: str = "DELIVRD", **details: str) -> bytes:
    return json.dumps({"message_id": message_id, "status": status, "dlr_details": details}).encode()


def test_ratios_are_those_within_each_round() -> None:
    # The machine was half as fast in the second round, which says nothing about anyone.
    comparison = Comparison(
        "peers",
        [
            *(measured("ours", 40_000), measured("theirs", 2_000)),
            *(measured("ours", 20_000), measured("theirs", 1_000)),
            *(measured("ours", 30_000), measured("theirs", 1_000)),
        ],
    )
    summary = comparison.summary()
    assert summary["ours"]["ratio"] == SAME
    assert summary["theirs"]["ratio"] == {"median": 20, "min": 20, "max": 30}
    assert summary["theirs"]["rate"] == {"median": 1_000, "min": 1_000, "max": 2_000}


def test_a_round_without_a_rate_says_nothing() -> None:
    rounds = [measured("ours", 9.0), measured("a", None), measured("b", 3.0)]
    rounds += [measured("ours", 8.0), measured("a", 2.0), measured("b", None)]
    assert ratios(rounds) == {"ours": [1.0, 1.0], "a": [4.0], "b": [3.0]}
    assert ratios([measured("ours", None), measured("a", 2.0)]) == {}


def test_the_table_has_a_line_for_each_contestant() -> None:
    console = Console(width=120, file=StringIO())
    Comparison(
        "peers", [measured("ours", 45_000), measured("theirs", 60_000), measured("third", None)]
    ).show(console)
    output = console.file.getvalue()
    for text in ("45,000..45,000", "0.75..0.75", "2,000", "3,000", "third"):
        assert text in output
    assert "VOID" not in output


def test_a_void_run_is_said_and_not_drawn(tmp_path: Path) -> None:
    chart = tmp_path / "peers.svg"
    measurements = [measured("ours", 45_000), measured("theirs", 60_000, is_void=True)]
    comparison = Comparison("peers", measurements, chart=chart)
    comparison.write(tmp_path / "peers.json")
    written = json.loads((tmp_path / "peers.json").read_text())
    assert written["void"]
    assert not chart.exists()


def test_the_chart_has_every_contestant_with_its_figures(tmp_path: Path) -> None:
    chart = tmp_path / "charts" / "peers.svg"
    measurements = [measured("ours", 45_000), measured("theirs", 60_000), measured("third", None)]
    comparison = Comparison("peers", measurements, chart=chart)
    comparison.write(tmp_path / "peers.json")
    drawn = chart.read_text()
    for text in ("ours", "theirs", "45,000/s", "60,000/s", "\N{MULTIPLICATION SIGN} 0.75"):
        assert text in drawn
    assert "third" not in drawn
    comparison.write(tmp_path / "peers.json")
    assert chart.read_text() == drawn


@pytest.mark.parametrize(("ratio", "text"), [(19.96, "20.0"), (1.0, "1.0"), (0.736, "0.74")])
def test_ratios_are_written_with_digits_that_say_something(ratio: float, text: str) -> None:
    assert times(ratio) == text


def test_commits_are_told_in_the_words_of_the_service(capfd: pytest.CaptureFixture[str]) -> None:
    tell(3, NOON.timestamp())
    assert json.loads(capfd.readouterr().err) == {
        "event": "batch",
        "size": 3,
        "timestamp": "2026-11-24T12:00:00.000000Z",
    }


async def test_single_commits_are_added_up(capfd: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    for _ in range(5):
        tally.count()
    tally.tell()
    tally.tell()
    assert [json.loads(line)["size"] for line in capfd.readouterr().err.splitlines()] == [5]


def test_a_receipt_is_read() -> None:
    receipt = decode(body(status="UNDELIV", done_date="2026-11-24 12:00:00", err="011"))
    assert receipt[:4] == ("m1", "failed", NOON, "011")
    assert json.loads(receipt.dlr_payload)["err"] == "011"


@pytest.mark.parametrize(
    "text", [b"rubbish", b"[]", b'{"message_id": "m1"}', body(done_date="yesterday")]
)
def test_what_is_no_receipt_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of json, of dates, and our own
        decode(text)


def test_the_best_receipt_of_a_message_wins_and_rows_are_in_order_of_their_key() -> None:
    receipts = [
        decode(body(*event))
        for event in [("m2", "UNDELIV"), ("m1", "DELIVRD"), ("m2", "DELIVRD"), ("m2", "EXPIRED")]
    ]
    assert [(found.message_id, found.status) for found in best(receipts)] == [
        ("m1", "delivered"),
        ("m2", "delivered"),
    ]
