"""What a stock Jasmin published, settled as domain.md has it."""

from __future__ import annotations

import random

import pytest

from tests.support.gateway import Gateway, Publication, capture, submissions
from tests.support.service import eventually

# By the operator's id, in the order of submission; the refused one has none.
EXPECTED = {
    "6B04081F000E": "delivered",
    "6B04081F000F": "failed",  # UNDELIV
    "6B04081F0010": "expired",
    "6B04081F0011": "rejected",
    "6B04081F0012": "delivered",  # after ACCEPTD
    "6B04081F0013": "failed",  # DELETED
    "6B04081F0014": "failed",  # UNKNOWN
    "6B04081F0015": "submitted",  # no receipt came
    None: "failed",  # ESME_RINVDSTADR
    "6B04081F0016": "delivered",  # receipt twice
    "6B04081F0017": "delivered",  # and a late ACCEPTD
    "6B04081F0018": "delivered",  # receipt before its submit_sm_resp
    "6B04081F0019": "delivered",  # after UNDELIV
    "6B04081F001A": "delivered",  # data_sm
    "6B04081F001B": "delivered",
    "6B04081F001C": "delivered",
    "6B04081F001F": "delivered",  # three parts
}
BILLS = 16


def in_order(publications: list[Publication]) -> list[Publication]:
    return publications


def shuffled(publications: list[Publication]) -> list[Publication]:
    return random.Random(20261123).sample(publications, len(publications))


def three_times_over(publications: list[Publication]) -> list[Publication]:
    return shuffled(publications * 3)


@pytest.mark.parametrize("arrange", [in_order, shuffled, three_times_over])
@pytest.mark.parametrize("cdrs_first", [True, False], ids=["cdrs-first", "cdrs-last"])
async def test_capture_settles(start, gateway: Gateway, arrange, cdrs_first: bool) -> None:
    service = await start(WORKERS="4").ready()
    publications = arrange(capture())
    if cdrs_first:
        await add_cdrs(gateway)
    await gateway.publish(publications)
    ours = sum(p.routing_key.startswith(("dlr.", "bill_request.")) for p in publications)
    await eventually(service.consumed, ours)
    if not cdrs_first:
        await add_cdrs(gateway)
    await eventually(lambda: gateway.count("billing_parked"), 0)
    assert await service.stop() == 0
    assert await gateway.count("billing_parked") == 0
    assert await statuses_by_operator_id(gateway) == EXPECTED
    assert await gateway.count("billing_event") == BILLS
    for queue in ("billing_service.dlr", "billing_service.submit_sm_resp"):
        assert await gateway.waiting(queue) == 0
        assert await gateway.waiting(f"{queue}.dead") == 0


async def test_bills_keep_their_account_and_exact_amount(start, gateway: Gateway) -> None:
    service = await start().ready()
    await gateway.publish(capture())
    await eventually(lambda: gateway.count("billing_event"), BILLS)
    rows = await gateway.database.fetch(
        "SELECT a.jasmin_uid, e.amount::text, count(*) FROM billing_event e"
        " JOIN accounts a ON a.id = e.account_id GROUP BY 1, 2 ORDER BY 2"
    )
    assert [tuple(row) for row in rows] == [("acct-1", "0.01", 15), ("acct-1", "0.03", 1)]
    assert await service.stop() == 0


async def test_receipt_log_has_a_row_for_each_receipt(start, gateway: Gateway) -> None:
    service = await start().ready()
    await add_cdrs(gateway)
    receipts = [p for p in capture() if p.routing_key == "dlr.deliver_sm"]
    await gateway.publish(receipts)
    await eventually(lambda: gateway.count("billing_receipt_log"), len(receipts))
    assert await service.stop() == 0


async def test_receipt_log_can_be_switched_off(start, gateway: Gateway) -> None:
    service = await start(DLR_RECEIPT_LOG="false").ready()
    await add_cdrs(gateway)
    await gateway.publish(capture())
    await eventually(lambda: statuses_by_operator_id(gateway), EXPECTED)
    assert await service.stop() == 0
    assert await gateway.count("billing_receipt_log") == 0


async def add_cdrs(gateway: Gateway) -> None:
    for message_id, parts in submissions().items():
        await gateway.add_cdrs([message_id], parts)


async def statuses_by_operator_id(gateway: Gateway) -> dict[str | None, str]:
    return dict(await gateway.database.fetch("SELECT smpp_msgid, status FROM sms_cdr"))
