"""Migrations: on nothing, on the gateway's tables with rows in them, by two hosts at once."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import alembic.command
import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from bench.stack import Stack
from bench.stack.process import free_port
from service.store import migrate
from service.store.pool import SCHEMA_VERSION
from tests.support.service import run_to_end

# The gateway's tables as domain.md has them, with what a deployment may have besides.
GATEWAY_TABLES = """
CREATE TABLE accounts (id uuid PRIMARY KEY, name text, type text, status text, currency char(3),
    its_own_column text DEFAULT 'kept');
CREATE TABLE account_balances (account_id uuid PRIMARY KEY, balance numeric(18,6),
    credit_limit numeric(18,6), currency char(3), updated_at timestamptz);
CREATE TABLE balance_ledger (id uuid PRIMARY KEY, account_id uuid, amount numeric(18,6),
    currency char(3), direction text, reason text, reference text, created_at timestamptz);
CREATE TABLE sms_cdr (id uuid PRIMARY KEY, message_id text, account_id uuid, connector_id text,
    msisdn text, sender text, status text, parts int, price numeric(18,6), currency char(3),
    submit_at timestamptz, delivery_at timestamptz, error_code text, dlr_payload jsonb,
    created_at timestamptz);
CREATE TABLE alembic_version (version_num text);
INSERT INTO alembic_version VALUES ('the gateway''s own');
INSERT INTO accounts VALUES (gen_random_uuid(), 'acme', 'prepaid', 'active', 'EUR');
INSERT INTO sms_cdr (id, message_id, status, price)
    SELECT gen_random_uuid(), 'message-' || n, 'delivered', 0.01 FROM generate_series(1, 1000) n;
"""


@pytest.fixture
async def connection(stack: Stack, empty_database: str):
    connection = await asyncpg.connect(stack.postgres.dsn(empty_database))
    yield connection
    await connection.close()


def run_migrate(stack: Stack, database: str):
    result = run_to_end("migrate", environment=stack.environment(database))
    assert result.returncode == 0, result.stderr
    return result


async def test_on_an_empty_database(stack: Stack, empty_database: str, connection) -> None:
    assert run_migrate(stack, empty_database).stdout == f"schema {SCHEMA_VERSION} (was None)\n"
    again = run_migrate(stack, empty_database)
    assert again.stdout == f"schema {SCHEMA_VERSION} is up to date\n"


async def test_the_workers_know_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_VERSION


async def test_on_the_gateways_tables_with_rows(
    stack: Stack, empty_database: str, connection
) -> None:
    await connection.execute(GATEWAY_TABLES)
    before = await connection.fetch(
        "SELECT xmin, ctid, id, message_id, status, price FROM sms_cdr ORDER BY id"
    )
    run_migrate(stack, empty_database)
    after = await connection.fetch(
        "SELECT xmin, ctid, id, message_id, status, price FROM sms_cdr ORDER BY id"
    )
    assert after == before  # not one row was rewritten
    assert await connection.fetchval("SELECT its_own_column FROM accounts") == "kept"
    assert (
        await connection.fetchval("SELECT version_num FROM alembic_version") == "the gateway's own"
    )
    old = await connection.fetchval("SELECT status_rank FROM sms_cdr LIMIT 1")
    new = await connection.fetchval(
        "INSERT INTO sms_cdr (id, status) VALUES (gen_random_uuid(), 'queued')"
        " RETURNING status_rank"
    )
    assert (old, new) == (None, 0)


@pytest.mark.parametrize(
    ("index", "ours"),
    [
        ("CREATE INDEX theirs ON sms_cdr (message_id)", 0),
        ("CREATE UNIQUE INDEX theirs ON sms_cdr (message_id, id)", 0),
        ("CREATE INDEX theirs ON sms_cdr (message_id) WHERE status = 'queued'", 1),
        ("CREATE INDEX theirs ON sms_cdr (msisdn, message_id)", 1),
    ],
)
async def test_index_is_made_only_where_none_serves(
    stack: Stack, empty_database: str, connection, index: str, ours: int
) -> None:
    await connection.execute(GATEWAY_TABLES + index)
    run_migrate(stack, empty_database)
    found = await connection.fetchval(
        "SELECT count(*) FROM pg_indexes WHERE indexname = 'billing_sms_cdr_message_id_idx'"
    )
    assert found == ours


@pytest.mark.parametrize(
    ("chosen", "kept"), [("", "50"), ("ALTER TABLE sms_cdr SET (fillfactor = 80)", "80")]
)
async def test_rows_find_room_to_grow_unless_the_gateway_has_chosen_how_much(
    stack: Stack, empty_database: str, connection, chosen: str, kept: str
) -> None:
    await connection.execute(GATEWAY_TABLES + chosen)
    run_migrate(stack, empty_database)
    options = await connection.fetchval(
        "SELECT reloptions FROM pg_class WHERE oid = 'sms_cdr'::regclass"
    )
    assert options == [f"fillfactor={kept}"]


async def test_partitioned_cdrs_have_no_pages_of_their_own(
    stack: Stack, empty_database: str, connection
) -> None:
    await connection.execute(
        "CREATE TABLE sms_cdr (message_id text, status text, created_at timestamptz,"
        " dlr_payload jsonb, delivery_at timestamptz, error_code text, parts int,"
        " price numeric(18,6), account_id uuid, connector_id text, currency char(3))"
        " PARTITION BY RANGE (created_at)"
    )
    await connection.execute("CREATE INDEX ON sms_cdr (message_id)")
    run_migrate(stack, empty_database)
    kind, options = await connection.fetchrow(
        "SELECT relkind, reloptions FROM pg_class WHERE oid = 'sms_cdr'::regclass"
    )
    assert kind == b"p"
    assert options is None


async def test_two_hosts_at_once(stack: Stack, empty_database: str, connection) -> None:
    await connection.execute(GATEWAY_TABLES)
    results = await asyncio.gather(
        *(asyncio.to_thread(run_migrate, stack, empty_database) for _ in range(2))
    )
    said = sorted(result.stdout.splitlines()[-1] for result in results)
    assert said == [f"schema {SCHEMA_VERSION} (was None)", f"schema {SCHEMA_VERSION} is up to date"]


def refused(url: str) -> str:
    """Migrate there, and return what is said of it."""
    result = run_to_end("migrate", environment={"BILLING_DATABASE_URL": url})
    assert result.returncode == 3
    (line,) = result.stderr.splitlines()
    return line


async def test_a_database_that_is_not_there_is_said_with_what_to_do(stack: Stack) -> None:
    said = refused(stack.postgres.dsn("missing"))
    assert 'database "missing" does not exist; create it (CREATE DATABASE "missing"), or' in said
    away = f"postgresql://b@127.0.0.1:{free_port()}/b"
    for url in (away, stack.postgres.dsn().replace("postgres:", "postgres:x")):
        assert "; check database.url (BILLING_DATABASE_URL), and that PostgreSQL" in refused(url)


async def test_a_role_that_may_not_migrate_is_told_of_the_one_that_may(
    stack: Stack, empty_database: str, connection
) -> None:
    await connection.execute(GATEWAY_TABLES + "CREATE ROLE nobody LOGIN PASSWORD 'hunter2'")
    url = urlsplit(stack.postgres.dsn(empty_database))
    said = refused(url._replace(netloc=f"nobody:hunter2@{url.hostname}:{url.port}").geturl())
    assert "; run config/postgres/roles.sql as its head says, with -v gateway_owner=ROLE" in said
    await connection.execute("DROP ROLE nobody")


@pytest.mark.parametrize(
    ("before", "locked"), [(None, "sms_cdr"), ("0002", "billing_event")], ids=["first", "later"]
)
async def test_a_table_that_somebody_holds_is_left_to_them(
    stack: Stack, empty_database: str, connection, before: str | None, locked: str
) -> None:
    """Before and after the index, which may take its time."""
    await connection.execute(GATEWAY_TABLES)
    if before:
        await asyncio.to_thread(upgrade, stack.postgres.dsn(empty_database), before)
    async with connection.transaction():
        await connection.execute(f"LOCK TABLE {locked} IN ACCESS SHARE MODE")
        said = await asyncio.to_thread(refused, stack.postgres.dsn(empty_database))
    assert f"lock timeout: ALTER TABLE {locked}: another session has held this table" in said
    assert said.endswith("and run again: billing-service migrate")
    run_migrate(stack, empty_database)


def upgrade(url: str, revision: str) -> None:
    """Migrate up to a revision, as a version of then did."""
    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with engine.connect() as config.attributes["connection"]:
        alembic.command.upgrade(config, revision)
