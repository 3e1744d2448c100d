"""What `make run` shows of what is sent: on the smallest terminal, and in numbers."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from bench.demo import view
from bench.demo.jasmin import JasminSender
from bench.demo.probe import History, Snapshot
from bench.gateway.tap import Tap
from service.status.samples import Sample

STREAMS = ("submit", "dlr", "bill")
PLACES = {
    "status page": "http://127.0.0.1:23307/",
    "metrics": "http://127.0.0.1:23307/metrics",
    "readiness": "http://127.0.0.1:23307/readyz",
    "RabbitMQ": f"http://127.0.0.1:25712  jasmin / {'5d2a' * 8}",
    "psql": f"postgresql://postgres:{'3155' * 8}@127.0.0.1:22217/billing",
    "log": ".stack/run-0yymaazq/billing-service.log",
    "Jasmin": "http://127.0.0.1:20823/send  acme / s3cret-1",
}


def test_three_streams_fit_a_terminal_of_80_by_24() -> None:
    lines = rendered(view.live("draining …", 1234, sender(), history(), PLACES))
    assert len(lines) <= 24
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in "".join(lines[1:])  # nothing is cut off; the first has the phase
    text = "\n".join(lines)
    assert all(stream in text for stream in STREAMS)
    assert "size 100%" in text
    assert "12,345" in text


def test_the_age_of_what_carries_no_time_is_not_shown_as_nought() -> None:
    assert "p99 -" in view.line(1, sender(), history())
    assert "p99 0 ms" not in view.line(1, sender(), history())


def test_what_jasmin_publishes_is_counted_by_stream() -> None:
    tap = Tap()
    tap.counts.update(submit=3, dlr=5, bill_request=2)
    jasmin = SimpleNamespace(_site=SimpleNamespace(tap=tap), sources=JasminSender.sources)
    published = JasminSender.published.fget(jasmin)
    assert published == Counter(submit=3, dlr=5, bill=2)


@pytest.mark.parametrize(
    ("answers", "is_busy"),
    [([], True), (["ESME_RTHROTTLED"], True), (["ESME_RTHROTTLED", "ESME_ROK"], False)],
)
def test_an_sms_is_on_its_way_until_its_last_answer(answers: list[str], is_busy: bool) -> None:
    told = [SimpleNamespace(message_id="a", text=text) for text in answers]
    site = SimpleNamespace(
        tap=SimpleNamespace(answers=lambda: told), smsc=SimpleNamespace(is_busy=False)
    )
    accepted = [SimpleNamespace(message_id="a")]
    jasmin = SimpleNamespace(_site=site, _traffic=SimpleNamespace(accepted=accepted))
    assert JasminSender._is_busy(jasmin) == is_busy


def rendered(shown: object) -> list[str]:
    console = Console(width=80, height=24, color_system=None)
    with console.capture() as capture:
        console.print(shown)
    return [line.rstrip() for line in capture.get().splitlines()]


def sender() -> SimpleNamespace:
    return SimpleNamespace(sent=12_345, published=Counter(dict.fromkeys(STREAMS, 12_345)))


def history() -> History:
    """Return snapshots that are long enough for every figure to be a wide one."""
    found = History()
    for number in range(21):
        found.add(snapshot(number))
    return found


def snapshot(number: int) -> Snapshot:
    batches = 500 * number
    metrics = "".join(
        f"""
billing_batch_events_sum{{stream="{stream}"}} {1000 * number}
billing_batch_events_count{{stream="{stream}"}} {batches}
billing_batches_total{{stream="{stream}",reason="size"}} {batches}
billing_decode_seconds_sum{{stream="{stream}"}} {0.012 * batches}
billing_decode_seconds_count{{stream="{stream}"}} {batches}
billing_commit_seconds_sum{{stream="{stream}"}} {0.123 * batches}
billing_commit_seconds_count{{stream="{stream}"}} {batches}
billing_unacknowledged{{stream="{stream}"}} 12345
billing_parked{{stream="{stream}"}} 99
billing_parked_oldest_seconds{{stream="{stream}"}} 99"""
        for stream in STREAMS
    )
    return Snapshot(
        service=Sample(float(number), text_string_to_metric_families(metrics)),
        statuses=dict.fromkeys(view.COLOURS, 12_345),
        parked=0,
        queued=dict.fromkeys(STREAMS, 12_345),
        ready={"0": True, "1": True},
    )
