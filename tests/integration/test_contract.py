"""The JSON contract: the specification's status table, and billing events."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice, permutations
from uuid import uuid4

import pytest

from tests.integration.test_capture import in_order, shuffled, three_times_over
from tests.support.gateway import JASMIN_UID, Gateway, Publication, bill, dlr
from tests.support.service import eventually

STATUS_TABLE = {
    "DELIVRD": "delivered",
    "EXPIRED": "expired",
    "DELETED": "failed",
    "UNDELIV": "failed",
    "ACCEPTD": "pending",
    "UNKNOWN": "failed",
    "REJECTD": "rejected",
    "ESME_ROK": "submitted",
    "ESME_RINVDSTADR": "failed",
    "ESME_RTHROTTLED": "failed",
}


@pytest.mark.parametrize("arrange", [in_order, shuffled, three_times_over])
@pytest.mark.parametrize("cdrs_first", [True, False], ids=["cdrs-first", "cdrs-last"])
async def test_every_row_of_the_status_table(
    start, gateway: Gateway, arrange, cdrs_first: bool
) -> None:
    service = await start(WORKERS="4").ready()
    messages = {str(uuid4()): status for status in STATUS_TABLE for _ in range(20)}
    publications = arrange(
        [dlr(message_id, status) for message_id, status in messages.items()]
        # An answer to the submission, which says less than any receipt, comes with each.
        + [
            dlr(message_id, "ESME_ROK")
            for message_id in messages
            if not refused(messages, message_id)
        ]
    )
    if cdrs_first:
        await gateway.add_cdrs(messages)
    await gateway.publish(publications)
    await eventually(service.consumed, len(publications))
    if not cdrs_first:
        await gateway.add_cdrs(messages)
    await eventually(lambda: gateway.count("billing_parked"), 0)
    assert await service.stop() == 0
    expected = {message_id: STATUS_TABLE[status] for message_id, status in messages.items()}
    assert await gateway.statuses() == expected
    for queue in ("billing_service.dlr", "billing_service.dlr.dead"):
        assert await gateway.waiting(queue) == 0


async def test_receipt_fills_the_cdr(start, gateway: Gateway) -> None:
    service = await start(DLR_TIMEZONE="Europe/Madrid").ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish([dlr(message_id, "UNDELIV", smpp_msgid="00ab12")])
    await eventually(lambda: gateway.count("sms_cdr", "status = 'failed'"), 1)
    row = await gateway.database.fetchrow(
        "SELECT smpp_msgid, error_code, delivery_at::text, dlr_payload->>'text' AS text"
        " FROM sms_cdr"
    )
    assert dict(row) == {
        "smpp_msgid": "AB12",
        "error_code": "000",
        "delivery_at": "2024-01-01 11:00:05+00",
        "text": "hello",
    }
    assert await service.stop() == 0


async def test_failure_after_delivery_is_counted_as_a_conflict(start, gateway: Gateway) -> None:
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish([dlr(message_id, "DELIVRD")])
    await eventually(service.consumed, 1)
    await gateway.publish([dlr(message_id, "REJECTD")])
    await eventually(lambda: service.metric("billing_events_total", outcome="conflict"), 1)
    assert await gateway.statuses() == {message_id: "delivered"}
    assert await service.stop() == 0


async def test_row_found_with_a_status_is_not_moved_down(start, gateway: Gateway) -> None:
    """A CDR from before this service came has no rank; its status speaks for it."""
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.database.execute("UPDATE sms_cdr SET status = 'delivered', status_rank = NULL")
    await gateway.publish([dlr(message_id, "ACCEPTD"), dlr(message_id, "UNDELIV")])
    await eventually(service.consumed, 2)
    assert await gateway.statuses() == {message_id: "delivered"}
    assert await service.stop() == 0


async def test_confirmed_bill_finalises_its_cdr_once(start, gateway: Gateway) -> None:
    service = await start().ready()
    message_id, bid = str(uuid4()), str(uuid4())
    await gateway.add_cdrs([message_id])
    publications = [bill(message_id, bid, amount="0.30000000000000004")] * 3
    await gateway.publish(publications)
    await eventually(service.consumed, 3)
    row = await gateway.database.fetchrow(
        "SELECT status, finalized_at IS NOT NULL AS finalized, confirmed_amount FROM sms_cdr"
    )
    assert tuple(row) == ("submitted", True, Decimal("0.300000"))
    recorded = await gateway.database.fetch("SELECT bid, amount::text, status FROM billing_event")
    assert [tuple(r) for r in recorded] == [(bid, "0.30000000000000004", "ESME_ROK")]
    assert await service.metric("billing_events_total", stream="bill", outcome="unchanged") == 2
    assert await service.stop() == 0


async def test_refused_bill_fails_its_cdr_and_finalises_nothing(start, gateway: Gateway) -> None:
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish([bill(message_id, "b1", status="ESME_RINVDSTADR")])
    await eventually(service.consumed, 1)
    row = await gateway.database.fetchrow(
        "SELECT status, error_code, finalized_at, confirmed_amount FROM sms_cdr"
    )
    assert tuple(row) == ("failed", "ESME_RINVDSTADR", None, None)
    assert await service.stop() == 0


async def test_bill_that_is_retried_and_then_confirmed_counts_once(start, gateway: Gateway) -> None:
    """Jasmin keeps the bill id when it submits again after ESME_RTHROTTLED."""
    service = await start().ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    for status in ("ESME_RTHROTTLED", "ESME_RTHROTTLED", "ESME_ROK", "ESME_RTHROTTLED"):
        await gateway.publish([bill(message_id, "b1", status=status)])
    await eventually(service.consumed, 4)
    row = await gateway.database.fetchrow(
        "SELECT status, error_code, confirmed_amount FROM sms_cdr"
    )
    assert tuple(row) == ("submitted", None, Decimal("0.010000"))
    assert await gateway.count("billing_event", "status = 'ESME_ROK'") == 1
    assert await service.stop() == 0


def refused(messages: dict[str, str], message_id: str) -> bool:
    return messages[message_id].startswith("ESME_")


@pytest.mark.parametrize(
    "statuses",
    [("ESME_ROK", "ESME_RSUBMITFAIL"), ("ESME_RSUBMITFAIL", "ESME_ROK")],
    ids=["confirmed-first", "failed-first"],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["one-batch", "two-batches"])
async def test_two_answers_to_one_charge_count_alike_in_any_order(
    start, gateway: Gateway, statuses: tuple[str, str], at_once: bool
) -> None:
    service = await start(WORKERS="1", BILL_FLUSH_MS="300").ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    for number, status in enumerate(statuses, start=1):
        await gateway.publish([bill(message_id, "b1", status=status)])
        if not at_once:
            await eventually(service.consumed, number)
    await eventually(service.consumed, 2)
    row = await gateway.database.fetchrow(
        "SELECT status, finalized_at IS NOT NULL, confirmed_amount FROM sms_cdr"
    )
    assert tuple(row) == ("failed", True, Decimal("0.010000"))
    assert await service.stop() == 0


def native_bill(bid: str, amount: str = "0.01") -> Publication:
    headers = {"user-id": JASMIN_UID, "amount": amount}
    key = f"bill_request.submit_sm_resp.{JASMIN_UID}"
    return Publication("billing", key, bid.encode(), bid, headers)


@pytest.mark.parametrize("at_once", [True, False], ids=["one-batch", "batch-by-batch"])
async def test_a_charge_in_both_shapes_counts_once_and_for_its_message_in_any_order(
    start, gateway: Gateway, at_once: bool
) -> None:
    """Both match the binding where somebody publishes what Jasmin says with the message added."""
    await gateway.add_balance(Decimal(100))
    service = await start(WORKERS="1", BILL_FLUSH_MS="300", BILL_CHARGE_MODE="debit").ready()
    messages = [str(uuid4()) for _ in range(6)]
    await gateway.add_cdrs(messages)
    in_all_orders = [
        permutations([native_bill(f"b{n}"), bill(m, f"b{n}", "ESME_RTHROTTLED"), bill(m, f"b{n}")])
        for n, m in enumerate(messages)
    ]
    orders = [next(islice(each, n, None)) for n, each in enumerate(in_all_orders)]
    for number, answers in enumerate(zip(*orders, strict=True), start=1):
        await gateway.publish(answers)
        if not at_once:
            await eventually(service.consumed, number * len(messages))
    await eventually(service.consumed, 3 * len(messages))
    rows = await gateway.database.fetch(
        "SELECT status, finalized_at IS NOT NULL, confirmed_amount FROM sms_cdr"
    )
    assert {tuple(row) for row in rows} == {("submitted", True, Decimal("0.010000"))}
    named = "message_id IS NOT NULL AND connector_id = 'smsc1'"
    assert await gateway.count("billing_event", named) == len(messages)
    assert await gateway.count("balance_ledger", "direction = 'debit'") == len(messages)
    assert await service.stop() == 0


@pytest.mark.parametrize("at_once", [True, False], ids=["one-batch", "batch-by-batch"])
async def test_a_charge_belongs_to_the_message_that_was_named_first(
    start, gateway: Gateway, at_once: bool
) -> None:
    await gateway.add_balance(Decimal(100))
    service = await start(WORKERS="1", BILL_FLUSH_MS="300").ready()
    named, other = str(uuid4()), str(uuid4())
    await gateway.add_cdrs([named, other])
    answers = [bill(named, "b", "ESME_RTHROTTLED"), bill(other, "b")]
    for number, answer in enumerate(answers, start=1):
        await gateway.publish([answer])
        if not at_once:
            await eventually(service.consumed, number)
    await eventually(service.consumed, len(answers))
    assert await gateway.statuses() == {named: "submitted", other: "queued"}
    assert await gateway.count("sms_cdr", "finalized_at IS NOT NULL") == 1
    assert await service.stop() == 0


async def test_charges_of_one_message_add_up_exactly(start, gateway: Gateway) -> None:
    """Rounded once, in the end, and by whichever worker they come."""
    service = await start(WORKERS="4", BILL_BATCH_SIZE="1").ready()
    message_id = str(uuid4())
    await gateway.add_cdrs([message_id])
    await gateway.publish(bill(message_id, f"b{n}", amount="0.0000004") for n in range(40))
    await eventually(service.consumed, 40)
    assert await gateway.database.fetchval("SELECT confirmed_amount FROM sms_cdr") == Decimal(
        "0.000016"
    )
    assert await service.stop() == 0
