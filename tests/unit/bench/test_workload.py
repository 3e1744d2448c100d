from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bench.lab import expectation
from bench.lab.messages import publications
from bench.lab.workload import Kind, Workload
from service.broker.topology import BILL, DLR
from service.events.decode import BillDecoder, DlrDecoder
from service.events.message import Message
from service.events.records import BillEvent, DlrEvent, Receipt, SubmitResult

CAPTURE = Path(__file__).parents[2] / "data" / "jasmin-0.10.13.jsonl"


def workload(kind: Kind, **changed) -> Workload:
    return Workload(kind, **{"events": 2000, "cdrs": 3000, "accounts": 50, **changed})


def decoded(load: Workload) -> list[DlrEvent | BillEvent]:
    decode = BillDecoder(65_536) if load.source is BILL else DlrDecoder(ZoneInfo("UTC"), 65_536)
    return decode(
        [
            Message("", load.source.queue, item.message_id, dict(item.headers), item.body)
            for item in publications(load)
        ]
    )


@pytest.mark.parametrize("kind", Kind)
def test_a_seed_makes_one_workload(kind: Kind) -> None:
    published = list(publications(workload(kind)))
    assert published == list(publications(workload(kind)))
    assert published != list(publications(workload(kind, seed=2)))
    assert len(published) == 2000


@pytest.mark.parametrize("kind", Kind)
def test_a_workload_that_ends_early_has_the_first_events_of_the_whole(kind: Kind) -> None:
    part = workload(kind).first(500)
    assert part.events == 500
    if kind is not Kind.ANSWERS:  # whose receipts begin earlier when there are fewer answers
        assert list(publications(part)) == list(publications(workload(kind)))[:500]
    assert expectation.cdrs(part).items() <= expectation.cdrs(workload(kind)).items()
    assert len(expectation.cdrs(part)) == part.messages


@pytest.mark.parametrize("kind", [Kind.JSON, Kind.BILL])
def test_the_service_reads_what_is_expected_of_the_contract(kind: Kind) -> None:
    load = workload(kind)
    expected = expectation.cdrs(load)
    events = decoded(load)
    assert {event.message_id: event.status.cdr_status for event in events} == {
        message_id: cdr.status for message_id, cdr in expected.items()
    }
    assert len(expected) == len(events)


def test_the_service_reads_every_detail_of_a_receipt() -> None:
    load = workload(Kind.JSON)
    expected = expectation.cdrs(load)
    for event in decoded(load):
        assert isinstance(event, Receipt)
        cdr = expected[event.message_id]
        assert cdr[1:4] == (event.error_code, event.done_at, event.smpp_msgid)


def test_native_receipts_name_the_operators_ids_alone() -> None:
    load = workload(Kind.NATIVE)
    expected = {cdr.smpp_msgid: cdr for cdr in expectation.cdrs(load).values()}
    events = decoded(load)
    assert {event.operator_ids for event in events} == {(key,) for key in expected}
    for event in events:
        cdr = expected[event.smpp_msgid]
        assert cdr[:3] == (event.status.cdr_status, event.error_code, event.done_at)


def test_an_answer_comes_before_its_receipt() -> None:
    load = workload(Kind.ANSWERS, events=12_000, cdrs=6000)
    at: dict[str, int] = {}
    for number, event in enumerate(decoded(load)):
        if isinstance(event, SubmitResult):
            at[event.smpp_msgid] = number
        else:
            assert number - at.pop(event.smpp_msgid) > 4000
    assert not at


@pytest.mark.parametrize("kind", [Kind.NATIVE, Kind.ANSWERS])
def test_native_messages_are_made_like_jasmins(kind: Kind) -> None:
    captured = {
        entry["headers"]["type"]: entry
        for entry in map(json.loads, CAPTURE.read_text().splitlines())
        if entry["routing_key"].startswith("dlr.") and entry["headers"]["type"] != "data_sm"
    }
    for message in publications(workload(kind)):
        theirs = captured[message.headers["type"]]
        if message.headers["type"] == "deliver_sm" or message.body == b"ESME_ROK":
            assert list(message.headers)[:1] == list(theirs["headers"])[:1]
            assert set(message.headers) >= set(theirs["headers"])
        if message.headers["type"] == "deliver_sm":
            assert list(message.headers) == list(theirs["headers"])
            assert message.message_id == message.headers["dlr_id"].upper()


def test_contract_receipts_have_every_field() -> None:
    body = json.loads(next(publications(workload(Kind.JSON))).body)
    assert list(body) == ["message_id", "status", "pdu_type", "smpp_msgid", "dlr_details"]
    assert list(body["dlr_details"]) == [
        *("id", "sub", "dlvrd", "submit_date", "done_date", "stat", "err", "text")
    ]


def test_charges_add_up_to_ledger_and_balances() -> None:
    load = workload(Kind.BILL)
    events = {event.bid: event for event in decoded(load)}
    charges = expectation.charges(load)
    assert {bid: (e.uid, e.amount, e.status.text) for bid, e in events.items()} == charges
    ledger = expectation.ledger(load)
    assert 0.03 < len(ledger) / len(charges) < 0.07
    credit = sum(entry.amount for entry in ledger.values())
    balances = expectation.balances(load)
    assert sum(balances.values()) == 50 * 1000 + credit
    assert len(balances) == 50


def test_other_kinds_leave_the_money_alone() -> None:
    load = workload(Kind.JSON)
    assert not expectation.charges(load)
    assert not expectation.ledger(load)
    assert set(expectation.balances(load).values()) == {1000}


def test_statuses_are_mixed_as_in_life() -> None:
    load = workload(Kind.JSON, events=20_000, cdrs=20_000)
    statuses = [cdr.status for cdr in expectation.cdrs(load).values()]
    assert statuses.count("delivered") / len(statuses) == pytest.approx(0.9, abs=0.01)
    assert set(statuses) == {"delivered", "failed", "expired", "rejected"}


def test_order_is_random() -> None:
    numbers = workload(Kind.JSON).numbers
    assert len(set(numbers)) == 2000
    rising = sum(a < b for a, b in itertools.pairwise(numbers))
    assert 0.45 < rising / len(numbers) < 0.55


def test_times_are_plausible() -> None:
    cdr = next(iter(expectation.cdrs(workload(Kind.JSON)).values()))
    assert cdr.delivery_at is not None
    assert datetime(2026, 1, 1, tzinfo=UTC) < cdr.delivery_at


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        (Kind.JSON, {"events": 3001}),
        (Kind.ANSWERS, {"events": 1001}),
        (Kind.ANSWERS, {"events": 6002}),
    ],
)
def test_refuses_what_cannot_be(kind: Kind, changed: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="events"):
        workload(kind, **changed)


def test_queues_and_tables() -> None:
    assert workload(Kind.ANSWERS).source is DLR
    assert workload(Kind.BILL).source is BILL
    assert workload(Kind.JSON).tables == workload(Kind.ANSWERS, events=10).tables
    assert workload(Kind.NATIVE).tables.is_answered
