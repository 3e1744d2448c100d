"""The roles of config/postgres/roles.sql: enough to work with, and no more."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from bench.stack import Stack
from bench.stack.packages import psql
from bench.stack.process import free_port
from tests.integration.conftest import ROOT
from tests.integration.test_migrations import GATEWAY_TABLES
from tests.support.gateway import Gateway, bill, capture, dlr, submissions
from tests.support.service import eventually, run_to_end

CANNOT_START = 3
ROLES = ("billing_migrator", "billing_service", "billing_reader")
PASSWORD = "of-all-three"
TABLES = ("accounts", "account_balances", "balance_ledger", "sms_cdr")


def roles_sql(dsn: str, *variables: str) -> None:
    """Run the script as its head says."""
    script = ROOT / "config/postgres/roles.sql"
    given = [f"{kind}_password={PASSWORD}" for kind in ("migrator", "service", "reader")]
    options = [item for variable in (*given, *variables) for item in ("-v", variable)]
    done = subprocess.run(
        [psql(), dsn, "-X", "-q", *options, "-f", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def urls(
    stack: Stack, empty_database: str, administrator: asyncpg.Connection
) -> AsyncIterator[Callable[[str], str]]:
    """A gateway's database with our roles, migrated by theirs; gives the URL of a role."""
    dsn = stack.postgres.dsn(empty_database)
    await administrator.execute("CREATE ROLE gateway")
    owner = await asyncpg.connect(dsn)
    await owner.execute(
        GATEWAY_TABLES + "".join(f"ALTER TABLE {t} OWNER TO gateway;" for t in TABLES)
    )
    await owner.execute("CREATE TABLE secrets AS SELECT 1 AS secret")

    def url(role: str) -> str:
        parts = urlsplit(dsn)
        address = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{role}:{PASSWORD}@{address}").geturl()

    roles_sql(dsn, "gateway_owner=gateway")
    migrated = run_to_end("migrate", environment={"BILLING_DATABASE_URL": url("billing_migrator")})
    assert migrated.returncode == 0, migrated.stderr
    for _ in range(2):  # it may be repeated
        roles_sql(dsn, "gateway_owner=gateway")
    yield url
    for role in (*ROLES, "gateway"):
        await owner.execute(f"DROP OWNED BY {role} CASCADE")
        await administrator.execute(f"DROP ROLE {role}")
    await owner.close()


async def test_the_service_settles_with_no_more_than_it_needs(
    start, stack: Stack, empty_database: str, vhost: str, urls: Callable[[str], str]
) -> None:
    dsn = stack.postgres.dsn(empty_database)
    service = await start(
        DATABASE_URL=urls("billing_service"),
        BILL_CHARGE_MODE="debit",
        REFUND_AFTER_DELIVERY="reverse",
        REFUND_RECEIPTS='["rejected", "failed"]',
        PARKING_TTL="3",
    ).ready()
    async with Gateway(stack.rabbitmq.url(vhost), dsn) as gateway:
        await gateway.database.execute("DELETE FROM accounts")
        await gateway.add_account()
        await gateway.add_balance(100)
        messages = ["paid", "failed", "revived"]
        await gateway.add_cdrs(messages)
        await gateway.publish([bill(m, f"b-{m}") for m in messages])
        await eventually(lambda: gateway.count("balance_ledger", "direction = 'debit'"), 3)
        await gateway.publish([dlr("failed", "REJECTD"), dlr("revived", "UNDELIV")])
        await eventually(lambda: gateway.count("balance_ledger", "direction = 'credit'"), 2)
        await gateway.publish([dlr("revived", "DELIVRD"), dlr("paid", "DELIVRD")])
        await eventually(lambda: gateway.count("balance_ledger"), 6)
        # Links, parts, receipts that match nothing and expire: all that waits in the database.
        await gateway.publish(
            p for p in capture() if p.routing_key.startswith(("dlr.", "bill_request."))
        )
        await eventually(lambda: gateway.count("billing_link"), links())
        await eventually(lambda: gateway.count("billing_receipt_log"), receipts())
        await eventually(lambda: gateway.count("billing_parked"), 0)
    for event in (
        "sweep failed; trying again",
        "unexpected error",
        "PostgreSQL did not take it; trying again",
    ):
        assert service.events(event) == []
    assert await service.stop() == 0


CREATE_TABLE = "CREATE TABLE x (y int)"
FORBIDDEN = [
    "DELETE FROM balance_ledger",
    "UPDATE balance_ledger SET amount = 1",
    "TRUNCATE balance_ledger",
    "DELETE FROM sms_cdr",
    "UPDATE sms_cdr SET price = 0",
    "SELECT msisdn FROM sms_cdr",
    "SELECT * FROM sms_cdr",
    "INSERT INTO sms_cdr (message_id) VALUES ('x')",
    "UPDATE accounts SET status = 'x'",
    "SELECT name FROM accounts",
    "UPDATE account_balances SET credit_limit = 1",
    "INSERT INTO account_balances (account_id) VALUES (gen_random_uuid())",
    "ALTER TABLE sms_cdr ADD COLUMN x int",
    "ALTER TABLE billing_event ADD COLUMN x int",
    "DROP TABLE billing_parked",
    CREATE_TABLE,
    "SELECT * FROM secrets",
    "UPDATE billing_schema_version SET version_num = 'x'",
    "SELECT rolpassword FROM pg_authid",
]


async def test_to_capture_it_needs_more_and_is_given_it(
    start, stack: Stack, empty_database: str, vhost: str, urls: Callable[[str], str]
) -> None:
    dsn = stack.postgres.dsn(empty_database)
    settings = {
        "DATABASE_URL": urls("billing_service"),
        "CAPTURE_ENABLED": "true",
        "CAPTURE_TEXT": "true",
        "BILL_CHARGE_MODE": "debit",
    }
    service = start(**settings)
    assert await service.ended() == CANNOT_START
    assert "SELECT (currency) on accounts, INSERT (id, message_id, " in service.log_text
    assert "run config/postgres/roles.sql with -v capture=on" in service.log_text
    roles_sql(dsn, "gateway_owner=gateway", "capture=on")
    service = await start(**settings).ready()
    async with Gateway(stack.rabbitmq.url(vhost), dsn) as gateway:
        await gateway.database.execute("DELETE FROM accounts")
        await gateway.add_account()
        await gateway.add_balance(100)
        await gateway.publish(capture())
        await eventually(
            lambda: gateway.count("sms_cdr", "msisdn LIKE '9989%'"), len(submissions())
        )
        await eventually(lambda: gateway.count("billing_refund", "booked_at IS NOT NULL"), 1)
        await eventually(lambda: gateway.count("billing_parked"), 0)
    assert service.events("sweep failed; trying again") == []
    assert await service.stop() == 0


async def test_the_service_may_not_do_anything_else(urls: Callable[[str], str]) -> None:
    connection = await asyncpg.connect(urls("billing_service"))
    # Before PostgreSQL 15 everybody may, in the schema public.
    is_old = connection.get_server_version().major < 15
    await allowed(connection, FORBIDDEN, [CREATE_TABLE] if is_old else [])
    await connection.close()


async def test_the_reader_only_reads_and_sees_no_numbers(urls: Callable[[str], str]) -> None:
    connection = await asyncpg.connect(urls("billing_reader"))
    readable = [f"SELECT count(*) FROM {table}" for table in TABLES]
    readable += ["SELECT * FROM billing_opening", "SELECT message_id, price FROM sms_cdr"]
    await connection.execute("SET default_transaction_read_only = off")
    forbidden = [
        *FORBIDDEN[:8],
        "SELECT text FROM billing_submission",
        "SELECT * FROM secrets",
        "DELETE FROM billing_event",
        "UPDATE billing_opening SET balance = 0",
        "SELECT details FROM billing_receipt_log",
        "SELECT message FROM billing_parked",
    ]
    await allowed(connection, [*forbidden, *readable], readable)
    await connection.close()


# With every check that a setting adds.
ALL_CHECKS = {"BILLING_BILL_CHARGE_MODE": "debit", "BILLING_REFUND_AFTER_DELIVERY": "reverse"}


@pytest.mark.parametrize("role", ["billing_service", "billing_reader"])
async def test_both_the_service_and_the_reader_reconcile(
    urls: Callable[[str], str], role: str
) -> None:
    for _ in range(2):
        environment = {**ALL_CHECKS, "BILLING_DATABASE_URL": urls(role)}
        result = run_to_end("reconcile", environment=environment)
        assert result.returncode == 0, result.stderr


async def test_who_may_not_reconcile_is_told_what_to_do(
    stack: Stack, empty_database: str, urls: Callable[[str], str]
) -> None:
    owner = await asyncpg.connect(stack.postgres.dsn(empty_database))
    await owner.execute("REVOKE SELECT (created_at) ON sms_cdr FROM billing_service")
    await owner.close()
    environment = {"BILLING_DATABASE_URL": urls("billing_service")}
    result = run_to_end("reconcile", environment=environment)
    assert result.returncode == CANNOT_START
    assert "permission denied for table sms_cdr; run config/postgres/roles.sql" in result.stderr


async def test_what_an_operator_does_beside_the_service_its_role_may_do(
    start,
    environment: dict[str, str],
    urls: Callable[[str], str],
    tmp_path: Path,
) -> None:
    given = {
        **ALL_CHECKS,
        "BILLING_DATABASE_URL": urls("billing_service"),
        "BILLING_HTTP_PORT": str(free_port()),
    }
    service = await start(
        **{name.removeprefix("BILLING_"): value for name, value in given.items()}
    ).ready()
    for command in (
        ["doctor"],
        ["top", "--once"],
        ["dlq", "list"],
        ["dlq", "replay"],
        ["dlq", "export", "--output", str(tmp_path / "dead.jsonl")],
        ["dlq", "purge", "--yes"],
        ["reconcile"],
    ):
        result = run_to_end(*command, environment=environment | given)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "permission denied" not in result.stdout + result.stderr
    assert await service.stop() == 0


async def test_the_reader_reconciles_where_the_url_names_several_hosts(
    urls: Callable[[str], str],
) -> None:
    """As the documentation has it: its transactions only read unless they ask, and it does."""
    url = urls("billing_reader").replace("@", f"@127.0.0.1:{free_port()},", 1)
    environment = {"BILLING_DATABASE_URL": f"{url}?target_session_attrs=read-write"}
    result = run_to_end("reconcile", environment=environment)
    assert result.returncode == 0, result.stderr


async def test_tables_of_later_migrations_are_granted_too(urls: Callable[[str], str]) -> None:
    migrator = await asyncpg.connect(urls("billing_migrator"))
    await migrator.execute("CREATE TABLE billing_later (x int)")
    await migrator.close()
    service = await asyncpg.connect(urls("billing_service"))
    await service.execute("INSERT INTO billing_later VALUES (1)")
    await service.close()


async def test_missing_privilege_ends_the_run(
    start, stack: Stack, empty_database: str, urls: Callable[[str], str]
) -> None:
    owner = await asyncpg.connect(stack.postgres.dsn(empty_database))
    await owner.execute("REVOKE UPDATE (status) ON sms_cdr FROM billing_service")
    await owner.execute("REVOKE INSERT ON billing_refund FROM billing_service")
    await owner.close()
    service = start(DATABASE_URL=urls("billing_service"))
    assert await service.ended() == CANNOT_START
    assert "role billing_service lacks privileges" in service.log_text
    assert "INSERT on billing_refund, UPDATE (status) on sms_cdr" in service.log_text
    assert "roles.sql" in service.log_text


async def allowed(connection: asyncpg.Connection, tried: list[str], expected: list[str]) -> None:
    """Try statements; those that are not refused for want of a privilege must be as expected."""
    done = []
    for statement in tried:
        try:
            await connection.execute(statement)
            done.append(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
    assert done == expected


def links() -> int:
    """How many operators' ids the capture links, and the contract's answers none."""
    linked = {
        (p.message_id, p.headers["smpp_msgid"])
        for p in capture()
        if p.routing_key == "dlr.submit_sm_resp" and "smpp_msgid" in p.headers
    }
    return len(linked)


def receipts() -> int:
    """How many receipts the capture has, and the four of the contract."""
    return 4 + sum(p.routing_key in {"dlr.deliver_sm", "dlr.data_sm"} for p in capture())
