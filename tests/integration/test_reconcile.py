"""Reconciling: silent while all agrees, and naming the row whatever is tampered with."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from bench import PROJECT
from bench.stack.process import free_port
from tests.support.gateway import ACCOUNT, Gateway, bill, dlr
from tests.support.service import eventually, run_to_end

OPENING = Decimal(100)
SETTINGS = {"BILLING_REFUND_AFTER_DELIVERY": "reverse", "BILLING_BILL_CHARGE_MODE": "debit"}
DEBITED = "debited"
REFUSED = "refused"
DELIVERED = "delivered late"
UNCHARGED = "refused and never debited"


@pytest.fixture
async def settled(start, gateway: Gateway, environment: dict[str, str]) -> dict[str, str]:
    """A database with a debit, a refund and a reversal in it; returns the settings."""
    environment |= SETTINGS
    await gateway.add_balance(OPENING)
    await gateway.add_balance(OPENING, UUID(int=5))
    await gateway.database.execute(
        "INSERT INTO balance_ledger (account_id, amount, direction, reason)"
        " VALUES ($1, 40, 'credit', 'top-up'), ($1, 5, 'debit', 'fee')",
        ACCOUNT,
    )
    first = run_to_end("reconcile", environment=environment)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "2 accounts are new" in first.stdout
    service = await start().ready()
    await gateway.add_cdrs([DEBITED, REFUSED, DELIVERED, UNCHARGED])
    await gateway.publish(
        [bill(m, f"bid of {m}") for m in (DEBITED, REFUSED, DELIVERED)]
        + [dlr(m, "ESME_RINVDSTADR") for m in (REFUSED, DELIVERED, UNCHARGED)]
    )
    await eventually(lambda: gateway.count("billing_refund", "booked_at IS NOT NULL"), 2)
    await gateway.publish([dlr(DELIVERED, "DELIVRD"), dlr(DEBITED, "DELIVRD")])
    await eventually(lambda: gateway.count("billing_refund", "reversed_at IS NOT NULL"), 1)
    await eventually(lambda: gateway.count("sms_cdr", "status = 'delivered'"), 2)
    assert await service.stop() == 0
    await gateway.database.execute(
        "UPDATE billing_refund SET noted_at = noted_at - interval '1 h' WHERE booked_at IS NULL"
    )
    return environment


def reconcile(settled: dict[str, str], *options: str) -> tuple[int, str]:
    result = run_to_end("reconcile", *options, environment=settled)
    assert "Traceback" not in result.stderr
    return result.returncode, result.stdout


async def test_it_finds_each_way_in_which_the_books_can_be_wrong(
    settled: dict[str, str], gateway: Gateway
) -> None:
    code, text = reconcile(settled)
    assert (code, text.splitlines()[-1]) == (0, "everything agrees"), text
    url = settled["BILLING_DATABASE_URL"] + "?search_path=tampered,public"
    for tampering, check, key in TAMPERINGS:
        await gateway.database.execute(f"CREATE SCHEMA tampered; {COPY_TABLES}")
        await gateway.database.execute(f"SET search_path = tampered; {tampering}")
        code, text = reconcile(settled | {"BILLING_DATABASE_URL": url}, "--json")
        await gateway.database.execute("RESET search_path; DROP SCHEMA tampered CASCADE")
        found = {c["name"]: c for c in json.loads(text)["checks"] if c["differences"]}
        assert code == 1, tampering
        assert check in found, (tampering, found)
        assert [row["key"] for row in found[check]["rows"]] == [key], tampering


TABLES = (
    "account_balances",
    "balance_ledger",
    "sms_cdr",
    "billing_event",
    "billing_refund",
    "billing_opening",
    "billing_parked",
)
COPY_TABLES = "".join(
    f"CREATE TABLE tampered.{t} (LIKE public.{t} INCLUDING ALL);"
    f"INSERT INTO tampered.{t} SELECT * FROM public.{t};"
    for t in TABLES
)
REFUND = "reason LIKE 'SMS refund:%' AND reference = 'refused'"
ANOTHER = UUID(int=9)
TAMPERINGS = [
    (
        f"UPDATE account_balances SET balance = balance + 0.000001 WHERE account_id = '{ACCOUNT}'",
        "balances",
        str(ACCOUNT),
    ),
    (
        "INSERT INTO balance_ledger (account_id, amount, direction)"
        f" VALUES ('{ANOTHER}', 1, 'credit')",
        "balances",
        str(ANOTHER),
    ),
    (f"DELETE FROM balance_ledger WHERE {REFUND}", "refund_entries", REFUSED),
    (f"UPDATE balance_ledger SET amount = 0.009 WHERE {REFUND}", "refund_entries", REFUSED),
    (f"UPDATE balance_ledger SET direction = 'debit' WHERE {REFUND}", "refund_entries", REFUSED),
    (
        "UPDATE balance_ledger SET direction = 'credit' WHERE reason LIKE 'SMS refund reversed%'",
        "refund_entries",
        DELIVERED,
    ),
    (
        "DELETE FROM balance_ledger WHERE reference = 'bid of debited'",
        "debit_entries",
        "bid of debited",
    ),
    (
        "UPDATE billing_event SET confirmed = false WHERE message_id = 'debited'",
        "debit_entries",
        "bid of debited",
    ),
    (
        "UPDATE billing_event SET ledger_id = NULL, received_at = now() + interval '1 s'"
        " WHERE message_id = 'debited'",
        "missing_debits",
        "bid of debited",
    ),
    (
        "INSERT INTO balance_ledger (id, account_id, amount, direction, reason, reference)"
        f" SELECT '{ANOTHER}', account_id, amount, direction, reason, reference"
        f" FROM balance_ledger WHERE {REFUND}",
        "stray_entries",
        str(ANOTHER),
    ),
    (
        "UPDATE sms_cdr SET confirmed_amount = 0.02 WHERE message_id = 'debited'",
        "confirmed_amounts",
        DEBITED,
    ),
    (
        "UPDATE sms_cdr SET finalized_at = NULL WHERE message_id = 'debited'",
        "confirmed_amounts",
        DEBITED,
    ),
    ("DELETE FROM sms_cdr WHERE message_id = 'debited'", "confirmed_amounts", DEBITED),
    (
        "UPDATE sms_cdr SET status = 'queued', status_rank = NULL WHERE message_id = 'debited'",
        "statuses",
        DEBITED,
    ),
    (
        "UPDATE sms_cdr SET refunded_amount = NULL WHERE message_id = 'refused'",
        "refunded_amounts",
        REFUSED,
    ),
    (
        "UPDATE sms_cdr SET price = 0.001 WHERE message_id = 'refused'",
        "refunded_amounts",
        REFUSED,
    ),
    (
        "UPDATE sms_cdr SET status = 'delivered' WHERE message_id = 'refused'",
        "unreversed_refunds",
        REFUSED,
    ),
    (
        "DELETE FROM billing_refund WHERE message_id = 'refused'",
        "missing_refunds",
        REFUSED,
    ),
    (
        "UPDATE sms_cdr SET error_code = 'RESERVEDSTATUS_VENDOR_SPECIFIC'"
        " WHERE message_id = 'refused';"
        " DELETE FROM billing_refund WHERE message_id = 'refused'",
        "missing_refunds",
        REFUSED,
    ),
    (
        "UPDATE billing_refund SET booked_at = NULL, noted_at = noted_at - interval '1 h',"
        " due_at = due_at - interval '1 h' WHERE message_id = 'refused'",
        "overdue_refunds",
        REFUSED,
    ),
]


async def test_a_refund_whose_time_has_not_come_is_not_overdue(
    settled: dict[str, str], gateway: Gateway
) -> None:
    await gateway.database.execute(
        "UPDATE billing_refund SET booked_at = NULL, noted_at = noted_at - interval '14 min',"
        " due_at = now() + interval '1 min' WHERE message_id = 'refused'"
    )
    _, text = reconcile(settled, "--json")
    checks = {check["name"]: check["differences"] for check in json.loads(text)["checks"]}
    assert checks["overdue_refunds"] == 0


HARMLESS = {
    # A batch may begin before the CDR is written that it finds.
    "received before": "UPDATE sms_cdr SET created_at = now()",
    "removed for their age": "DELETE FROM sms_cdr WHERE message_id <> 'debited';"
    "UPDATE sms_cdr SET created_at = now()",
    # Where we debit, it is one that nobody wrote.
    "a price of nothing": "UPDATE sms_cdr SET price = 0",
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
async def test_what_is_no_mistake_agrees(
    settled: dict[str, str], gateway: Gateway, change: str
) -> None:
    await gateway.database.execute(change)
    code, text = reconcile(settled)
    assert code == 0, text


async def test_an_entry_that_is_booked_by_hand_as_the_page_says_agrees(
    gateway: Gateway, environment: dict[str, str]
) -> None:
    page = (PROJECT / "docs/money.md").read_text()
    (sql,) = re.findall(r"^```sql\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    sql = sql.replace("ACCOUNT-ID", str(ACCOUNT)).replace("MESSAGE-ID", REFUSED)
    await gateway.add_balance(OPENING)
    assert reconcile(environment)[0] == 0
    await gateway.database.execute(sql)
    assert reconcile(environment)[0] == 0
    balance = await gateway.database.fetchval("SELECT balance FROM account_balances")
    assert balance == OPENING + Decimal("0.01")
    assert await gateway.count("balance_ledger", f"reference = '{REFUSED}'") == 1


async def test_the_report_names_rows_and_says_how_many_more(
    settled: dict[str, str], gateway: Gateway
) -> None:
    await gateway.database.execute("UPDATE sms_cdr SET confirmed_amount = 7")
    code, text = reconcile(settled, "--limit", "2")
    assert code == 1
    assert "CDRs are finalised with their confirmed charges: 4 differ" in text
    assert "        debited: CDR has confirmed 7.000000, its charges come to 0.010000" in text
    assert "        and 2 more (--limit)" in text
    assert text.splitlines()[-1] == "4 differences"


async def test_a_database_without_the_tables_or_none_is_said_plainly(
    stack, empty_database: str
) -> None:
    away = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/b"
    for url, said in (
        (stack.postgres.dsn(empty_database), "does not exist; run: billing-service migrate"),
        (stack.postgres.dsn("missing"), "not exist; check database.url (BILLING_DATABASE_URL)"),
        (away, f"PostgreSQL at {urlsplit(away).netloc.rpartition('@')[2]} is away: "),
        (away, "; check database.url (BILLING_DATABASE_URL), and that it runs there"),
    ):
        result = run_to_end("reconcile", environment={"BILLING_DATABASE_URL": url})
        assert result.returncode == 3
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1


async def test_a_schema_that_is_too_old_is_to_be_migrated(
    gateway: Gateway, environment: dict[str, str]
) -> None:
    await gateway.database.execute("ALTER TABLE billing_refund DROP COLUMN reversed_at")
    result = run_to_end("reconcile", environment=environment)
    assert result.returncode == 3
    assert result.stderr.endswith("does not exist; run: billing-service migrate\n")
