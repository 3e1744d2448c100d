"""That the comparison after `make gateway` finds what it is there to find."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from bench.gateway.audit import audit
from bench.gateway.cdrs import OPENING
from bench.gateway.seen import Seen
from bench.gateway.sms import ACCOUNTS, RATE
from tests.unit.bench.test_gateway import GATEWAY, MESSAGE_ID, NOW, Scene

ACCOUNT = ACCOUNTS[0]
BILL = Scene().sms.bill
CDR, LEDGER, BALANCE, EVENT = "sms_cdr", "balance_ledger", "account_balances", "billing_event"


class Pool:
    """A database in which one delivered message has been settled as it must be."""

    def __init__(self) -> None:
        cdr = {
            "message_id": MESSAGE_ID,
            "status": "delivered",
            "smpp_msgid": "AF",
            "error_code": "000",
            "delivery_at": datetime(2027, 1, 15, 12, 0, tzinfo=UTC),
            "refunded_amount": None,
            "is_detailed": True,
        }
        entry = {
            "reference": MESSAGE_ID,
            "account_id": ACCOUNT.id,
            "debits": RATE,
            "credits": Decimal(0),
            "entries": 1,
        }
        self.rows: dict[str, list[dict[str, Any]]] = {
            CDR: [cdr],
            LEDGER: [entry],
            EVENT: [{"reference": "b1", "jasmin_uid": ACCOUNT.uid, "amount": BILL, "events": 1}],
            "billing_parked": [],
            BALANCE: [
                {"account_id": account.id, "balance": OPENING - (RATE if account is ACCOUNT else 0)}
                for account in ACCOUNTS
            ],
            "billing_receipt_log": [{"id": "AF", "status": "DELIVRD", "copies": 1}],
        }

    async def fetch(self, query: str) -> list[dict[str, Any]]:
        (table,) = (table for table in self.rows if f"FROM {table}" in query)
        return self.rows[table]


@pytest.fixture
def seen() -> Seen:
    scene = Scene()
    scene.answer("ESME_ROK", "00AF")
    key = f"bill_request.submit_sm_resp.{ACCOUNT.uid}"
    scene.publish(key, "b1", "b1", **{"user-id": ACCOUNT.uid, "amount": str(BILL)})
    scene.receipt("DELIVRD", "AF")
    return Seen(GATEWAY, {MESSAGE_ID: scene.story}, scene.tap, [])


async def complaints(pool: Pool, seen: Seen) -> set[str]:
    """Return the checks that differ, by their first words, once each has said why."""
    checks = [check for check in await audit(pool, seen) if check.different]
    assert all(check.differences for check in checks)
    return {check.what.partition(",")[0] for check in checks}


async def test_all_is_well(seen: Seen) -> None:
    assert await complaints(Pool(), seen) == set()


@pytest.mark.parametrize(
    ("table", "column", "value", "expected"),
    [
        (
            CDR,
            "status",
            "failed",
            {"CDRs: the outcome that the number asks for; queued", "CDRs: status"},
        ),
        (CDR, "smpp_msgid", "AE", {"CDRs: status"}),
        (CDR, "error_code", "001", {"CDRs: status"}),
        (CDR, "delivery_at", datetime(2027, 1, 15, tzinfo=UTC), {"CDRs: status"}),
        (CDR, "is_detailed", False, {"CDRs: status"}),
        (CDR, "refunded_amount", RATE, {"CDRs: status"}),
        (LEDGER, "entries", 2, {"ledger: each debit and each refund once"}),
        (LEDGER, "credits", RATE, {"ledger: each debit and each refund once"}),
        (BALANCE, "balance", OPENING, {"balances: opening"}),
        (EVENT, "amount", RATE, {"charges: each one recorded once"}),
        ("billing_receipt_log", "status", "UNDELIV", {"receipts: every copy in the log"}),
    ],
)
async def test_finds_a_wrong_value(
    seen: Seen, table: str, column: str, value: object, expected: set[str]
) -> None:
    pool = Pool()
    pool.rows[table][0][column] = value
    assert await complaints(pool, seen) == expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            CDR,
            {
                "CDRs: one for each message",
            },
        ),
        (LEDGER, {"ledger: each debit and each refund once"}),
        (BALANCE, {"balances: opening"}),
        (EVENT, {"charges: each one recorded once"}),
        ("billing_receipt_log", {"receipts: every copy in the log"}),
    ],
)
async def test_finds_a_missing_row(seen: Seen, table: str, expected: set[str]) -> None:
    pool = Pool()
    del pool.rows[table][0]
    assert await complaints(pool, seen) == expected


async def test_finds_what_belongs_to_no_message(seen: Seen) -> None:
    pool = Pool()
    pool.rows[CDR].append(pool.rows[CDR][0] | {"message_id": "stray"})
    pool.rows[LEDGER].append(pool.rows[LEDGER][0] | {"reference": "stray"})
    pool.rows["billing_parked"].append(
        {"stream": "dlr", "message_id": MESSAGE_ID, "operator_ids": None}
    )
    assert await complaints(pool, seen) == {
        "CDRs: one for each message",
        "ledger: each debit and each refund once",
        "parked: nothing but events of messages that have no CDR",
    }


async def test_finds_what_jasmin_took_and_did_not_publish(seen: Seen) -> None:
    scene = Scene()
    scene.answer("ESME_ROK", "AF")
    scene.receipt("DELIVRD", "AF", told=False)
    lost = Seen(GATEWAY, {MESSAGE_ID: scene.story}, scene.tap, [])
    assert "Jasmin published all that it took" in await complaints(Pool(), lost)
    killed = Seen(GATEWAY, lost.stories, lost.tap, [(NOW, NOW + 5)])
    assert "Jasmin published all that it took" not in await complaints(Pool(), killed)
