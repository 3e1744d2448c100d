from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.chaos.model import Cdr, Expectation, expect
from bench.chaos.plan import Event, Plan, Sms, make_plan

PLAN = make_plan(11, 3000)
STEPS = [step for step in PLAN.steps if isinstance(step, Event)]
EXPECTED = expect(PLAN, STEPS)


@settings(max_examples=20)
@given(st.integers())
def test_the_order_of_events_does_not_matter(seed: int) -> None:
    shuffled = random.Random(seed).sample(STEPS, len(STEPS))
    assert expect(PLAN, shuffled) == EXPECTED
    assert expect(PLAN, shuffled, debits=True) == expect(PLAN, STEPS, debits=True)


def test_an_order_that_matters_would_be_seen() -> None:
    """Two kinds of final failure are what no plan may have."""
    forth = seen("EXPIRED", "UNDELIV")
    back = seen("UNDELIV", "EXPIRED")
    assert forth.cdrs != back.cdrs


def test_about_five_percent_are_refunded() -> None:
    refunded = len(expect(make_plan(5, 30_000), make_plan(5, 30_000).events).refunds)
    assert refunded / len(make_plan(5, 30_000).messages) == pytest.approx(0.05, abs=0.01)


def test_where_the_service_debits_balances_fall_by_what_it_takes() -> None:
    expected = expect(PLAN, STEPS, debits=True)
    taken = sum(bill.debited for bill in expected.bills.values() if bill.debited)
    assert taken > 0
    assert expected.refunds
    assert expected.refunds.keys() < EXPECTED.refunds.keys()
    opening = sum(account.opening for account in PLAN.accounts)
    returned = sum(expected.refunds.values())
    assert sum(expected.balances.values()) == opening + returned - taken


def test_balances_rise_by_the_refunds() -> None:
    opening = sum(account.opening for account in PLAN.accounts)
    assert EXPECTED.refunds
    assert sum(EXPECTED.balances.values()) == opening + sum(EXPECTED.refunds.values())


PRICED = next(sms for sms in PLAN.messages if not sms.native and sms.price == Decimal("0.0375"))


def seen(*statuses: str | tuple[str, str], debits: bool = False, **changed: Any) -> Expectation:
    """Return what is expected of a message after these statuses; pairs are bills with amounts."""
    sms: Sms = PRICED._replace(**changed)
    events = [
        Event(n, "bill", sms, status[0], status[0], f"bid-{n}", status[1])
        if isinstance(status, tuple)
        else Event(
            n, "answer" if status.startswith("ESME") else "receipt", sms, status, status, f"k{n}"
        )
        for n, status in enumerate(statuses)
    ]
    plan = Plan(0, PLAN.accounts, [sms], events, [], events)
    return expect(plan, events, debits=debits)


@pytest.mark.parametrize(
    ("statuses", "status", "refund"),
    [
        (["ESME_ROK", "DELIVRD"], "delivered", None),
        (["ESME_ROK"], "submitted", None),
        (["ESME_ROK", "ACCEPTD"], "pending", None),
        (["ESME_ROK", "BUFFERED"], "pending", None),
        (["UNKNOWN", "ESME_ROK"], "failed", None),
        (["UNDELIV", "ESME_ROK"], "failed", None),
        (["ESME_ROK", "REJECTD"], "rejected", "0.0375"),
        (["REJECTD", "DELIVRD"], "delivered", None),
        (["ESME_RINVDSTADR"], "failed", "0.0375"),
        (["ESME_RTHROTTLED"], "failed", "0.0375"),
        (["ESME_RTHROTTLED", "ESME_ROK", "DELIVRD"], "delivered", None),
        (["ESME_RTHROTTLED", "ESME_RTHROTTLED", "REJECTD"], "rejected", "0.0375"),
    ],
)
def test_statuses_and_refunds(statuses: list[str], status: str, refund: str | None) -> None:
    expected = seen(*statuses)
    assert expected.cdrs == {PRICED.message_id: Cdr(status, None)}
    assert expected.refunds == ({PRICED.message_id: Decimal(refund)} if refund else {})


def test_confirmed_amounts_are_added_up_and_rounded() -> None:
    expected = seen(("ESME_ROK", "0.30000000000000004"), ("ESME_ROK", "1e-05"))
    assert expected.cdrs[PRICED.message_id] == Cdr("submitted", Decimal("0.300010"))
    assert [bill.amount for bill in expected.bills.values()] == [
        Decimal("0.30000000000000004"),
        Decimal("0.00001"),
    ]


@pytest.mark.parametrize(("amount", "refund"), [("0.0123456789", "0.012345"), ("1e-07", None)])
def test_without_a_price_the_amount_is_refunded_truncated(amount: str, refund: str | None) -> None:
    expected = seen("ESME_RINVDSTADR", ("ESME_RINVDSTADR", amount), price=None)
    assert expected.refunds == ({PRICED.message_id: Decimal(refund)} if refund else {})


@pytest.mark.parametrize(
    ("amount", "debited", "refund"),
    [
        ("0.01", "0.01", "0.01"),  # of its price only what was taken
        ("0.30000000000000004", "0.3", "0.0375"),  # of what was taken only its price
        ("0.0123456789", "0.012346", "0.012346"),
        ("1e-07", None, None),
    ],
)
def test_a_debit_is_rounded_and_paid_back_up_to_the_price(
    amount: str, debited: str | None, refund: str | None
) -> None:
    expected = seen(("ESME_ROK", amount), "REJECTD", debits=True)
    (bill,) = expected.bills.values()
    assert bill.debited == (Decimal(debited) if debited else None)
    assert expected.refunds == ({PRICED.message_id: Decimal(refund)} if refund else {})


def test_what_was_not_debited_is_not_paid_back() -> None:
    assert seen("ESME_RINVDSTADR", ("ESME_RINVDSTADR", "0.01"), debits=True).refunds == {}
    native = seen(("ESME_ROK", "0.01"), "REJECTD", debits=True, native=True)
    assert [bill.debited for bill in native.bills.values()] == [Decimal("0.01")]
    assert native.refunds == {}  # its bill does not say which message it is for


def test_copies_of_receipts_are_counted() -> None:
    event = Event(0, "receipt", PRICED, "DELIVRD", "DELIVRD", "mark")
    expected = expect(Plan(0, PLAN.accounts, [PRICED], [event], [], []), [event, event])
    assert expected.receipts == {"mark": 2}
