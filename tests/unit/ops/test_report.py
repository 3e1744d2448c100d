from __future__ import annotations

import time
from decimal import Decimal

import pytest
from prometheus_client import REGISTRY

from service.batcher import Batch
from service.broker.dead_letters import DeadLetter
from service.broker.delivery import Delivery
from service.events.message import Message
from service.events.records import BillEvent, SubmitResult
from service.events.statuses import status_of
from service.ops.report import Report
from service.store.outcomes import Outcome
from tests.support.wire import delivery_of


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Growth:
    """How much a metric has grown since."""

    def __init__(self, name: str, **labels: str) -> None:
        self.name, self.labels = name, labels
        self.before = sample(name, **labels)

    def __call__(self) -> float:
        return sample(self.name, **self.labels) - self.before


def dlr(status: str) -> SubmitResult:
    return SubmitResult("m1", status_of(status), None)


def bill(message_id: str | None, status: str = "ESME_ROK") -> BillEvent:
    return BillEvent("b1", "u1", Decimal(1), message_id, None, status_of(status))


def message(published_at: float | None = None) -> Message:
    return Message("messaging", "dlr.deliver_sm", "m1", {}, b"secret body", published_at)


def batch(*published_at: float | None, redelivered: bool = False) -> Batch[Delivery]:
    items = [
        delivery_of(message(at), tag, redelivered=redelivered)
        for tag, at in enumerate(published_at, 1)
    ]
    return Batch(items, "age")


def test_events_are_counted_by_what_became_of_them(logged):
    events = [dlr("DELIVRD"), dlr("DELIVRD"), dlr("UNDELIV"), dlr("ESME_ROK"), dlr("EXPIRED")]
    results = [*[Outcome.APPLIED] * 2, Outcome.CONFLICT, Outcome.PARKED, ValueError("x")]
    applied = Growth("billing_events_total", stream="unit", outcome="applied")
    conflict = Growth("billing_events_total", stream="unit", outcome="conflict")
    delivered = Growth("billing_cdr_statuses_total", status="delivered")
    failed = Growth("billing_cdr_statuses_total", status="failed")
    counts = Report("unit").events(events, results)
    assert counts == {"applied": 2, "conflict": 1, "parked": 1}
    assert (applied(), conflict(), delivered(), failed()) == (2, 1, 2, 0)


def test_unknown_statuses_are_counted(logged):
    unknown = Growth("billing_unknown_statuses_total")
    events = [dlr("DELIVERY_FAILED"), dlr("DELIVRD"), dlr("ESME_RX")]
    Report("unit").events(events, [Outcome.APPLIED] * 3)
    assert unknown() == 1


def test_a_native_bill_moves_no_cdr(logged):
    submitted = Growth("billing_cdr_statuses_total", status="submitted")
    Report("unit").events([bill(None), bill("m1")], [Outcome.APPLIED] * 2)
    assert submitted() == 1


@pytest.mark.parametrize(
    ("statuses", "level"),
    [
        (["DELIVRD"], "info"),
        (["DELIVRD", "UNDELIV"], "warning"),
        (["EXPIRED"], "warning"),
        (["REJECTD"], "warning"),
        (["ESME_RSUBMITFAIL"], "warning"),
    ],
)
def test_failed_deliveries_make_a_batch_a_warning(logged, statuses, level):
    report = Report("unit")
    counts = report.events([dlr(s) for s in statuses], [Outcome.APPLIED] * len(statuses))
    report.batch(batch(None), counts, 0.001, 0.002)
    assert [line["log_level"] for line in logged] == [level]
    assert counts.get("failed_deliveries", 0) == (level == "warning")


def test_one_line_tells_of_a_batch(logged):
    flushed = Growth("billing_batches_total", stream="unit", reason="age")
    Report("unit").batch(batch(None, None), {"applied": 2}, 0.0015, 0.25)
    assert logged == [
        {
            "event": "batch",
            "log_level": "info",
            "stream": "unit",
            "size": 2,
            "flushed_by": "age",
            "applied": 2,
            "decode_ms": 1.5,
            "commit_ms": 250.0,
        }
    ]
    assert flushed() == 1


def test_what_was_delivered_before_is_told_with_its_batch(logged):
    again = Growth("billing_redelivered_total", stream="unit")
    Report("unit").batch(batch(None, None, redelivered=True), {"applied": 2}, 0, 0)
    assert (logged[0]["redelivered"], logged[0]["applied"]) == (2, 2)
    assert again() == 2


def test_the_age_of_a_batch_is_that_of_its_oldest_message(logged):
    ages = Growth("billing_publish_to_commit_seconds_sum", stream="unit")
    Report("unit").batch(batch(time.time() - 100, None, time.time() - 5), {}, 0, 0)
    assert 100 <= ages() < 160


@pytest.mark.parametrize("published_at", [None, time.time() + 3600], ids=["none", "to come"])
def test_a_message_without_a_past_time_has_no_age(logged, published_at):
    ages = Growth("billing_publish_to_commit_seconds_sum", stream="unit")
    Report("unit").batch(batch(published_at), {}, 0, 0)
    assert ages() == 0


def test_every_dead_letter_is_an_error_with_its_reason_and_not_its_body(logged):
    refused = Growth("billing_events_total", stream="unit", outcome="refused")
    Report("unit").dead([DeadLetter(message(), "body is empty"), DeadLetter(message(), "NUL")])
    assert [(line["log_level"], line["reason"]) for line in logged] == [
        ("error", "body is empty"),
        ("error", "NUL"),
    ]
    assert logged[0]["message_id"] == "m1"
    assert "secret" not in str(logged)
    assert refused() == 2


def test_no_dead_letters_are_no_news(logged):
    Report("unit").dead([])
    assert logged == []


@pytest.mark.parametrize("requeued", [True, False])
def test_a_bug_of_ours_is_logged_with_its_stack_trace(logged, requeued):
    counted = Growth("billing_events_total", stream="unit", outcome="requeued")
    error = KeyError("x")
    Report("unit").failed(error, requeued=requeued)
    (line,) = logged
    assert (line["log_level"], line["requeued"], line["exc_info"]) == ("error", requeued, error)
    assert counted() == requeued


@pytest.mark.parametrize(
    ("reason", "logged_as"),
    [
        ("amount is no number: 'a text'", "amount is no number"),
        ('unknown type header: b"it\'s"', "unknown type header"),
        ("body is empty", "body is empty"),
        ('violates check constraint "no_bad_codes"', 'violates check constraint "no_bad_codes"'),
    ],
)
def test_what_a_reason_quotes_of_a_message_is_not_logged(logged, reason, logged_as):
    message = Message("messaging", "dlr.deliver_sm", "m1", {}, b"")
    Report("dlr").dead([DeadLetter(message, reason)])
    assert [line["reason"] for line in logged] == [logged_as]
