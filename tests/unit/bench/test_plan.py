from __future__ import annotations

from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from bench.chaos import rubbish
from bench.chaos.plan import FATES, AddCdr, Event, Plan, make_plan
from bench.chaos.rubbish import Rubbish
from bench.chaos.shapes import publication
from bench.formats import Publication
from service.events.decode import BillDecoder, DlrDecoder
from service.events.message import Message
from service.events.records import BillEvent, DlrEvent, Refused
from service.events.statuses import FAILED, status_of


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(7, 6000)


def decode(item: Publication) -> DlrEvent | BillEvent:
    message = Message(
        item.exchange, item.routing_key, item.message_id, dict(item.headers), item.body
    )
    if item.exchange == "messaging":
        [event] = DlrDecoder(ZoneInfo("UTC"), rubbish.LONGEST_BODY)([message])
    else:
        [event] = BillDecoder(rubbish.LONGEST_BODY)([message])
    return event


def test_a_seed_makes_one_plan(plan: Plan) -> None:
    assert make_plan(7, 6000) == plan
    assert make_plan(8, 6000) != plan


@pytest.mark.parametrize("size", [1000, 4321])
def test_publishes_exactly_as_many_messages_as_asked(size: int) -> None:
    assert make_plan(3, size).publications == size


def test_has_everything_that_a_run_needs(plan: Plan) -> None:
    assert len(plan.rubbish) == pytest.approx(0.01 * plan.publications, rel=0.05)
    assert max(plan.copies().values()) > 1
    assert {(sms.native, sms.parts > 1) for sms in plan.messages} > {(True, True), (False, False)}
    assert {account.late for account in plan.accounts} == {None, "account", "balance"}
    published = [step.sms for step in plan.steps if isinstance(step, AddCdr)]
    assert sorted(published) == sorted(plan.messages)


def test_events_come_before_their_cdr_and_before_each_other(plan: Plan) -> None:
    first = {}
    for at, step in enumerate(plan.steps):
        first.setdefault(step if isinstance(step, AddCdr) else getattr(step, "number", None), at)
    events = [(event, first[event.number]) for event in plan.events]
    assert any(at < first[AddCdr(event.sms)] for event, at in events)
    answered = {e.sms.message_id: at for e, at in events if e.status == "ESME_ROK"}
    receipts = [(event, at) for event, at in events if event.kind == "receipt"]
    assert any(at < answered[event.sms.message_id] for event, at in receipts)


@pytest.mark.parametrize("fate", FATES, ids=str)
def test_a_message_has_one_kind_of_final_failure_at_most(fate) -> None:
    failures = {s for s in fate.answers + fate.receipts if status_of(s).rank == FAILED}
    assert len(failures) <= 1


def test_what_a_receipt_refunds_is_charged_once() -> None:
    """Where the service debits, a refund is of what was taken by then, whatever follows."""
    charged = Counter(event.sms for event in make_plan(2, 60_000).events if event.kind == "bill")
    twice = {sms for sms, bills in charged.items() if bills > 1}
    refused = {event.sms for event in make_plan(2, 60_000).events if event.status == "REJECTD"}
    assert twice
    assert refused
    assert not twice & refused


def test_the_service_understands_every_event(plan: Plan) -> None:
    for event in plan.events:
        decoded = decode(publication(event))
        assert decoded.status == status_of(event.status), event
        assert isinstance(decoded, BillEvent) == (event.kind == "bill")


def test_the_service_refuses_all_rubbish() -> None:
    seen = {}
    for step in make_plan(1, 40_000).steps:
        if isinstance(step, Rubbish):
            seen[step.what] = step
    assert len(seen) > 20
    for waste in seen.values():
        with pytest.raises(Refused):
            decode(publication(waste))


def test_marks_and_bill_ids_are_unique(plan: Plan) -> None:
    keys = [event.key for event in plan.events if event.kind != "answer"]
    assert len(set(keys)) == len(keys)
    ids = [waste.message_id for waste in plan.rubbish]
    assert len(set(ids)) == len(ids)
    assert [event.number for event in plan.events] == list(range(len(plan.events)))
    assert all(isinstance(event, Event) for event in plan.events)
