"""What is read out of /readyz and /metrics."""

from __future__ import annotations

import orjson
import pytest

from service.doctor import running
from service.doctor.finding import Level

URL = "http://127.0.0.1:9108"


def readiness(workers: dict[str, bool], **circuits: str):
    circuits = {name.replace("_", "-"): state for name, state in circuits.items()}
    return running._readiness(URL, orjson.dumps({"workers": workers, "circuits": circuits}))


def test_ready_workers_are_counted():
    found = readiness({"worker-1": True, "worker-2": True})
    assert found.level is Level.OK
    assert found.says.endswith("is ready: 2 workers")
    assert readiness({"worker-1": True}).says.endswith("is ready: 1 worker")


def test_idle_workers_are_named_and_whether_postgresql_is_why():
    found = readiness(
        {"worker-1": True, "worker-2": False, "worker-3": False},
        worker_2="open",
        worker_3="closed",
    )
    assert found.level is Level.PROBLEM
    assert "not ready: worker-2, worker-3; PostgreSQL is away for worker-2" in found.says


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status": "UP"}'])
def test_the_answer_of_something_else_is_no_answer(body):
    with pytest.raises(ValueError):  # noqa: PT011 - orjson's, too
        running._readiness(URL, body)


def test_events_that_could_not_be_applied_are_told_by_stream():
    lines = [
        'billing_events_total{stream="dlr",outcome="applied"} 7.0',
        'billing_events_total{stream="dlr",outcome="refused"} 3.0',
        'billing_events_total{stream="bill",outcome="requeued"} 1.0',
        'billing_events_total{stream="bill",outcome="refused"} 0.0',
    ]
    text = "\n".join(["# TYPE billing_events counter", *lines, ""])
    refused, requeued = running._failures(text)
    assert refused.says.startswith("dlr: 3 messages")
    assert "dlq list --stream dlr" in refused.remedy
    assert requeued.says.startswith("bill: 1 time since")


def test_a_supervisor_that_has_seen_nothing_is_well():
    (found,) = running._failures("")
    assert found.level is Level.OK
