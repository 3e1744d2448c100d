"""Refunds, reversals and debits: each once, in any order, and never more than was charged."""

from __future__ import annotations

import random
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from tests.support.gateway import ACCOUNT, JASMIN_UID, Gateway, Publication, bill, dlr
from tests.support.service import Service, eventually

OPENING = Decimal("100.000000")
# A rule of the gateway's tables that looks only at the end of a transaction.
AT_COMMIT = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE check_violation USING MESSAGE = 'the account is closed'; END $$;
    CREATE CONSTRAINT TRIGGER not_if_closed AFTER INSERT ON balance_ledger
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.account_id = '00000000-0000-0000-0000-000000000001') EXECUTE FUNCTION refuse()
"""


@pytest.fixture
async def account(gateway: Gateway) -> None:
    await gateway.add_balance(OPENING)


def native_answer(message_id: str, status: str) -> Publication:
    """Return the answer to a submission as a stock Jasmin publishes it."""
    headers = {"type": "submit_sm_resp"}
    if status == "ESME_ROK":
        headers["smpp_msgid"] = f"AB{message_id[:6]}"
    return Publication("messaging", "dlr.submit_sm_resp", status.encode(), message_id, headers)


async def entries(gateway: Gateway) -> list[tuple[str, str, str]]:
    rows = await gateway.database.fetch(
        "SELECT direction, amount::text, reference FROM balance_ledger ORDER BY created_at, id"
    )
    return [tuple(row) for row in rows]


async def balance(gateway: Gateway, account: UUID = ACCOUNT) -> Decimal:
    return await gateway.database.fetchval(
        "SELECT balance FROM account_balances WHERE account_id = $1", account
    )


async def money(service: Service, kind: str) -> float:
    return await service.metric("billing_money_total", kind=kind)


@pytest.mark.parametrize("arrange", ["one-batch", "native-first", "bill-first"])
async def test_failed_submission_is_refunded_once_from_either_stream(
    start, gateway: Gateway, account, arrange: str
) -> None:
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    events = [native_answer(message_id, "ESME_RINVDSTADR")] * 2
    events += [bill(message_id, "b1", "ESME_RINVDSTADR", amount="0.02")] * 2
    if arrange == "bill-first":
        events.reverse()
    for number, event in enumerate(events, start=1):
        await gateway.publish([event])
        if arrange != "one-batch":
            await eventually(service.consumed, number)
    await eventually(service.consumed, len(events))
    assert await entries(gateway) == [("credit", "0.010000", message_id)]
    assert await balance(gateway) == OPENING + Decimal("0.01")
    row = await gateway.database.fetchrow("SELECT reason, currency, account_id FROM balance_ledger")
    assert tuple(row) == ("SMS refund: ESME_RINVDSTADR", "EUR", ACCOUNT)
    assert await gateway.count("sms_cdr", "refunded_amount = 0.01 AND status = 'failed'") == 1
    assert await money(service, "refund") == 1
    assert await service.stop() == 0


async def test_an_operators_own_error_is_refunded(start, gateway: Gateway, account) -> None:
    """Jasmin has one name for all command statuses from 0x400 to 0x4FF."""
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish([native_answer(message_id, "RESERVEDSTATUS_VENDOR_SPECIFIC")])
    await eventually(lambda: entries(gateway), [("credit", "0.010000", message_id)])
    assert await gateway.statuses() == {message_id: "failed"}
    assert await service.metric("billing_unknown_statuses_total") == 0
    assert await service.stop() == 0


async def test_without_a_price_the_events_amount_is_refunded_rounded_down(
    start, gateway: Gateway, account
) -> None:
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id], price=None)
    await gateway.publish([native_answer(message_id, "ESME_RINVDSTADR")])
    await eventually(lambda: service.metric("billing_refunds_waiting"), 1)
    await gateway.publish([bill(message_id, "b1", "ESME_RINVDSTADR", amount="0.0300009")])
    await eventually(lambda: entries(gateway), [("credit", "0.030000", message_id)])
    assert await service.stop() == 0


async def test_nothing_is_refunded_for_what_was_free(start, gateway: Gateway, account) -> None:
    service = await start().ready()
    free, unpriced = str(uuid4()), str(uuid4())
    await gateway.add_cdrs([free], price=Decimal(0))
    await gateway.add_cdrs([unpriced], price=None)
    await gateway.publish([native_answer(m, "ESME_RINVDSTADR") for m in (free, unpriced)])
    await eventually(lambda: gateway.count("sms_cdr", "status = 'failed'"), 2)
    await eventually(lambda: gateway.count("billing_refund"), 1)
    # Not while a sweep is at it, which would take it for one that has long been in vain.
    async with gateway.database.transaction():
        await gateway.database.execute("LOCK TABLE billing_refund")
        await gateway.database.execute(
            "UPDATE billing_refund SET noted_at = noted_at - interval '2 d', due_at = now()"
        )
    await eventually(lambda: money(service, "given up"), 1)
    (line,) = service.events("refund given up: no charge is known, or its CDR is gone")
    assert line["message_id"] == unpriced
    assert await gateway.count("billing_refund") == 0
    assert await entries(gateway) == []
    assert await balance(gateway) == OPENING
    assert await service.stop() == 0


async def test_retried_error_is_refunded_only_when_nothing_better_comes(
    start, gateway: Gateway, account
) -> None:
    service = await start(REFUND_SETTLE="600").ready()
    better, worse, final = (str(uuid4()) for _ in range(3))
    await gateway.add_cdrs([better, worse, final])
    throttled = [native_answer(m, "ESME_RTHROTTLED") for m in (better, worse, final)]
    await gateway.publish([*throttled, *throttled, bill(worse, "b1", "ESME_RSYSERR")])
    await eventually(service.consumed, 7)
    assert await gateway.count("billing_refund") == 3
    await gateway.publish(
        [native_answer(better, "ESME_ROK"), bill(final, "b2", "ESME_RSUBMITFAIL")]
    )
    await eventually(lambda: entries(gateway), [("credit", "0.010000", final)])
    await eventually(gateway.statuses, {better: "submitted", worse: "failed", final: "failed"})
    waiting = "booked_at IS NULL AND due_at > now() + interval '5 min'"
    assert await gateway.count("billing_refund", waiting) == 2
    await gateway.database.execute("UPDATE billing_refund SET due_at = now()")
    await eventually(lambda: gateway.count("billing_refund", "booked_at IS NOT NULL"), 2)
    assert {reference for *_, reference in await entries(gateway)} == {final, worse}
    assert await gateway.count("billing_refund") == 2
    assert await balance(gateway) == OPENING + Decimal("0.02")
    assert await service.stop() == 0


async def test_final_receipts_refund_by_status_account_and_connector(
    start, gateway: Gateway, account
) -> None:
    favoured = UUID(int=7)
    await gateway.add_balance(OPENING, favoured)
    service = await start(
        REFUND_RECEIPTS='["rejected"]',
        REFUND_BY_CONNECTOR='{"smsc2": ["expired"]}',
        REFUND_BY_ACCOUNT=f'{{"{favoured}": ["failed"]}}',
    ).ready()
    cases = [
        ("REJECTD", ACCOUNT, "smsc1", True),
        ("EXPIRED", ACCOUNT, "smsc1", False),
        ("UNDELIV", ACCOUNT, "smsc1", False),
        ("UNKNOWN", ACCOUNT, "smsc1", False),
        ("EXPIRED", ACCOUNT, "smsc2", True),
        ("REJECTD", ACCOUNT, "smsc2", False),
        ("UNDELIV", favoured, "smsc2", True),
        ("UNKNOWN", favoured, "smsc1", False),
        ("EXPIRED", favoured, "smsc2", False),
    ]
    messages = {str(uuid4()): case for case in cases}
    for message_id, (_, owner, connector, _) in messages.items():
        await gateway.add_cdrs([message_id], account=owner, connector=connector)
    await gateway.publish([dlr(m, case[0]) for m, case in messages.items()] * 2)
    await eventually(service.consumed, 2 * len(cases))
    refunded = {reference for *_, reference in await entries(gateway)}
    assert refunded == {m for m, case in messages.items() if case[3]}
    assert await gateway.count("balance_ledger") == 3
    assert await balance(gateway, favoured) == OPENING + Decimal("0.01")
    assert await service.stop() == 0


async def test_by_default_no_receipt_refunds(start, gateway: Gateway, account) -> None:
    service = await start().ready()
    messages = [str(uuid4()) for _ in range(3)]
    await gateway.add_cdrs(messages)
    statuses = ("REJECTD", "EXPIRED", "UNDELIV")
    await gateway.publish(dlr(m, s) for m, s in zip(messages, statuses, strict=True))
    await eventually(service.consumed, 3)
    assert await entries(gateway) == []
    assert await service.stop() == 0


async def test_refunds_can_be_left_to_the_gateway(start, gateway: Gateway, account) -> None:
    service = await start(REFUND_SUBMISSIONS="false").ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish([dlr(message_id, "ESME_RINVDSTADR")])
    await eventually(lambda: gateway.count("sms_cdr", "status = 'failed'"), 1)
    assert await gateway.count("billing_refund") == 0
    assert await service.stop() == 0


@pytest.mark.parametrize("rule", ["keep", "reverse"])
async def test_delivered_after_its_refund(start, gateway: Gateway, account, rule: str) -> None:
    service = await start(REFUND_AFTER_DELIVERY=rule).ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish([dlr(message_id, "ESME_RSUBMITFAIL")])
    await eventually(lambda: gateway.count("balance_ledger"), 1)
    await gateway.publish([dlr(message_id, "DELIVRD")] * 2)
    await eventually(gateway.statuses, {message_id: "delivered"})
    await gateway.publish([dlr(message_id, "ESME_RSUBMITFAIL"), dlr(message_id, "DELIVRD")])
    await eventually(service.consumed, 5)
    credit, debit = ("credit", "0.010000", message_id), ("debit", "0.010000", message_id)
    if rule == "keep":
        assert await entries(gateway) == [credit]
        assert await balance(gateway) == OPENING + Decimal("0.01")
        assert await money(service, "kept") == 1
    else:
        assert await entries(gateway) == [credit, debit]
        assert await balance(gateway) == OPENING
        assert await money(service, "reversal") == 1
        assert await gateway.count("sms_cdr", "refunded_amount IS NULL") == 1
    assert await service.stop() == 0


async def test_failure_after_delivery_is_not_refunded(start, gateway: Gateway, account) -> None:
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish([dlr(message_id, "DELIVRD")])
    await eventually(gateway.statuses, {message_id: "delivered"})
    await gateway.publish(
        [dlr(message_id, "ESME_RSUBMITFAIL"), bill(message_id, "b1", "ESME_RSUBMITFAIL")]
    )
    await eventually(service.consumed, 3)
    assert await entries(gateway) == []
    assert await service.stop() == 0


async def test_refund_waits_for_the_balance_of_its_account(start, gateway: Gateway) -> None:
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish([dlr(message_id, "ESME_RINVDSTADR")])
    await eventually(lambda: service.metric("billing_refunds_waiting"), 1)
    await gateway.database.execute("UPDATE billing_refund SET due_at = now() + interval '1 s'")
    await gateway.add_balance(OPENING)
    await eventually(lambda: entries(gateway), [("credit", "0.010000", message_id)])
    await eventually(lambda: service.metric("billing_refunds_waiting"), 0)
    assert await balance(gateway) == OPENING + Decimal("0.01")
    assert await service.stop() == 0


async def test_refund_in_another_currency_is_not_booked(start, gateway: Gateway, account) -> None:
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.database.execute("UPDATE sms_cdr SET currency = 'USD'")
    await gateway.publish([dlr(message_id, "ESME_RINVDSTADR")])
    await eventually(lambda: service.metric("billing_refunds_waiting"), 1)
    assert await entries(gateway) == []
    assert await service.stop() == 0


async def test_refund_that_the_database_refuses_holds_up_no_other(start, gateway: Gateway) -> None:
    """One account is as rich as a balance can be."""
    rich, other = UUID(int=1), UUID(int=2)
    await gateway.add_balance(Decimal("999999999999.999999"), rich)
    await gateway.add_balance(OPENING, other)
    service = await start(REFUND_SETTLE="1").ready()
    ours, theirs = str(uuid4()), str(uuid4())
    await gateway.add_cdrs([ours], account=rich)
    await gateway.add_cdrs([theirs], account=other)
    await gateway.publish([native_answer(m, "ESME_RTHROTTLED") for m in (ours, theirs)])
    await eventually(lambda: entries(gateway), [("credit", "0.010000", theirs)])

    async def said() -> bool:
        failed = service.events("refund failed")
        return bool(failed) and failed[0]["message_id"] == ours

    await eventually(said)
    await eventually(lambda: service.metric("billing_refunds_waiting"), 1)
    assert await service.metric("billing_worker_restarts_total") == 0
    assert await service.stop() == 0


async def test_what_the_database_would_refuse_at_commit_holds_up_no_other(
    start, gateway: Gateway
) -> None:
    closed, other = UUID(int=1), UUID(int=2)
    await gateway.add_balance(OPENING, closed)
    await gateway.add_balance(OPENING, other)
    await gateway.database.execute(AT_COMMIT)
    service = await start(REFUND_SETTLE="1").ready()
    late, refused, due, not_booked = (str(uuid4()) for _ in range(4))
    await gateway.publish([native_answer(m, "ESME_RINVDSTADR") for m in (late, refused)])
    await eventually(lambda: gateway.count("billing_parked"), 2)
    await gateway.add_cdrs([late, due], account=other)
    await gateway.add_cdrs([refused, not_booked], account=closed)
    await gateway.publish([native_answer(m, "ESME_RTHROTTLED") for m in (due, not_booked)])
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 1)
    [dead] = await gateway.take("billing_service.dlr.dead")
    assert dead.message_id == refused
    expected = {("credit", "0.010000", m) for m in (late, due)}

    async def booked() -> set[tuple[str, str, str]]:
        return set(await entries(gateway))

    await eventually(booked, expected)
    await eventually(lambda: service.metric("billing_refunds_waiting"), 1)
    assert service.events("refund failed")[0]["message_id"] == not_booked
    assert await service.metric("billing_worker_restarts_total") == 0
    assert await service.stop() == 0


async def test_charge_mode_debit_takes_each_charge_once(start, gateway: Gateway, account) -> None:
    service = await start(BILL_CHARGE_MODE="debit", REFUND_RECEIPTS='["rejected"]').ready()
    paid, refused, rejected = (str(uuid4()) for _ in range(3))
    await gateway.add_cdrs([paid, refused, rejected], price=Decimal("0.05"))
    native = Publication(
        "billing",
        f"bill_request.submit_sm_resp.{JASMIN_UID}",
        b"b4",
        "b4",
        {"user-id": JASMIN_UID, "amount": "1e-05"},
    )
    events = [
        bill(paid, "b1", amount="0.30000000000000004"),
        bill(refused, "b2", "ESME_RINVDSTADR"),
        bill(rejected, "b3", amount="0.04"),
        native,
        dlr(rejected, "REJECTD"),
    ] * 3
    random.Random(1).shuffle(events)
    await gateway.publish(events)
    await eventually(service.consumed, len(events))
    await eventually(lambda: gateway.count("balance_ledger"), 4)
    assert sorted(await entries(gateway)) == [
        ("credit", "0.040000", rejected),  # never more than was debited, whatever the price
        ("debit", "0.000010", "b4"),
        ("debit", "0.040000", "b3"),
        ("debit", "0.300000", "b1"),
    ]
    assert await balance(gateway) == OPENING - Decimal("0.300010")
    assert await service.stop() == 0


async def test_charge_mode_debit_refunds_whom_it_debited(start, gateway: Gateway, account) -> None:
    """Whatever the CDR says of its account or its price."""
    other = UUID(int=2)
    await gateway.add_balance(OPENING, other)
    service = await start(BILL_CHARGE_MODE="debit").ready()
    messages = {str(uuid4()): price for price in (Decimal(0), Decimal("NaN"), Decimal("0.05"))}
    for message_id, price in messages.items():
        await gateway.add_cdrs([message_id], account=other, price=price)
    await gateway.publish(bill(m, f"b-{m}") for m in messages)
    await eventually(lambda: gateway.count("balance_ledger"), 3)
    await gateway.publish(native_answer(m, "ESME_RSUBMITFAIL") for m in messages)
    await eventually(lambda: gateway.count("balance_ledger", "direction = 'credit'"), 3)
    assert await balance(gateway) == OPENING
    assert await balance(gateway, other) == OPENING
    assert await service.stop() == 0


async def test_charge_mode_debit_parks_what_has_no_balance_to_debit(
    start, gateway: Gateway
) -> None:
    service = await start(BILL_CHARGE_MODE="debit").ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish([bill(message_id, "b1")])
    await eventually(lambda: gateway.count("billing_parked"), 1)
    assert await gateway.count("billing_event") == 0
    await gateway.add_balance(OPENING)
    await eventually(lambda: entries(gateway), [("debit", "0.010000", "b1")])
    assert await service.stop() == 0


async def test_many_workers_over_few_accounts_neither_lose_nor_double_a_cent(
    start, gateway: Gateway
) -> None:
    """Every message fails on both streams; its account is shared by hundreds."""
    accounts = [UUID(int=n) for n in range(1, 6)]
    for account in accounts:
        await gateway.add_balance(OPENING, account)
    service = await start(WORKERS="4", DLR_BATCH_SIZE="50", BILL_BATCH_SIZE="50").ready()
    owners = {str(uuid4()): accounts[n % 5] for n in range(1_000)}
    for account in accounts:
        mine = [m for m, owner in owners.items() if owner == account]
        await gateway.add_cdrs(mine, account=account)
    events = [native_answer(m, "ESME_RINVDSTADR") for m in owners]
    events += [bill(m, f"b-{m}", "ESME_RINVDSTADR") for m in owners]
    events *= 2
    random.Random(3).shuffle(events)
    await gateway.publish(events)
    await eventually(service.consumed, len(events))
    await eventually(lambda: gateway.count("billing_refund", "booked_at IS NULL"), 0)
    references = [reference for *_, reference in await entries(gateway)]
    assert sorted(references) == sorted(owners)
    for account in accounts:
        assert await balance(gateway, account) == OPENING + 200 * Decimal("0.01")
    assert await gateway.waiting("billing_service.dlr.dead") == 0
    assert await service.stop() == 0
