"""Versions side by side: an older one goes on working with the schema of a newer one."""

from __future__ import annotations

from typing import NamedTuple

import alembic.command
import asyncpg
import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from bench.stack import Stack
from service.store import migrate
from service.store.pool import SCHEMA_VERSION
from tests.support.gateway import Gateway, dlr
from tests.support.service import eventually, run_to_end

NEWER = f"{SCHEMA_VERSION[0]}999"
BREAKING = f"{int(SCHEMA_VERSION[0]) + 1}000"

COLUMNS = """
SELECT c.relname AS table, a.attnum AS number, a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
       a.atthasdef OR a.attidentity <> '' AS filled
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
  AND a.attnum > 0 AND NOT a.attisdropped
"""
# What refuses rows, by the columns that it looks at.
RESTRICTIONS = """
SELECT i.indrelid::regclass::text AS table, pg_get_indexdef(i.indexrelid) AS definition,
       i.indkey::int2[] AS columns
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique
UNION ALL
SELECT conrelid::regclass::text, pg_get_constraintdef(oid), conkey
FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype IN ('c', 'f', 'x')
"""


class Schema(NamedTuple):
    """What statements can rely on, and what they must respect."""

    columns: dict[tuple[str, int], tuple[str, str, bool]]
    must_be_given: set[tuple[str, int]]
    restrictions: dict[tuple[str, str], list[int]]

    @property
    def tables(self) -> set[str]:
        return {table for table, _ in self.columns}

    def breaks(self, older: Schema) -> list[str]:
        """Say what the statements of a version that was made for ``older`` would stumble over."""
        changed = [
            f"column {key} was {was}, is {self.columns.get(key)}"
            for key, was in older.columns.items()
            if self.columns.get(key) != was
        ]
        wanted = [
            f"column {self.columns[key]} of {key[0]} must be given"
            for key in self.must_be_given - older.must_be_given
            if key[0] in older.tables
        ]
        refused = [
            f"{table} refuses more: {definition}"
            for (table, definition), columns in self.restrictions.items()
            if (table, definition) not in older.restrictions
            and all((table, column) in older.columns for column in columns)
        ]
        return changed + wanted + refused


async def schema_of(connection: asyncpg.Connection) -> Schema:
    columns = await connection.fetch(COLUMNS)
    return Schema(
        {(c["table"], c["number"]): (c["name"], c["type"], c["required"]) for c in columns},
        {(c["table"], c["number"]) for c in columns if c["required"] and not c["filled"]},
        {(r["table"], r["definition"]): r["columns"] for r in await connection.fetch(RESTRICTIONS)},
    )


async def test_a_migration_only_adds_unless_it_begins_a_thousand(
    stack: Stack, empty_database: str
) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    dsn = stack.postgres.dsn(empty_database)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    connection = await asyncpg.connect(dsn)
    before, older = "", Schema({}, set(), {})
    for script in reversed(list(scripts)):
        with engine.connect() as config.attributes["connection"]:
            alembic.command.upgrade(config, script.revision)
        newer = await schema_of(connection)
        if script.revision[0] == before[:1]:
            assert newer.breaks(older) == [], script.revision
        before, older = script.revision, newer
    assert before == SCHEMA_VERSION
    await connection.close()
    engine.dispose()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("ALTER TABLE billing_link DROP COLUMN part", "part"),
        ("ALTER TABLE billing_link RENAME part TO piece", "piece"),
        ("ALTER TABLE billing_link ALTER part TYPE text", "text"),
        ("ALTER TABLE billing_parked ALTER uid SET NOT NULL", "uid"),
        ("ALTER TABLE billing_link ADD cause text NOT NULL", "cause"),
        ("ALTER TABLE billing_link ADD CHECK (smpp_msgid <> '')", "CHECK"),
        ("CREATE UNIQUE INDEX ON billing_link (message_id)", "UNIQUE"),
        ("DROP TABLE billing_link", "billing_link"),
        ("ALTER TABLE billing_link ADD cause text", None),
        ("ALTER TABLE billing_link ADD cause text NOT NULL DEFAULT ''", None),
        ("ALTER TABLE billing_link ADD cause text CHECK (cause <> '') UNIQUE", None),
        ("CREATE TABLE billing_more (id uuid PRIMARY KEY, cause text NOT NULL)", None),
    ],
)
async def test_what_would_break_an_older_version_is_seen(
    stack: Stack, database: str, change: str, found: str | None
) -> None:
    connection = await asyncpg.connect(stack.postgres.dsn(database))
    older = await schema_of(connection)
    await connection.execute(change)
    breaks = (await schema_of(connection)).breaks(older)
    await connection.close()
    assert found in str(breaks) if found else breaks == []


async def test_a_worker_starts_on_the_schema_of_a_newer_version(start, gateway: Gateway) -> None:
    await gateway.database.execute("UPDATE billing_schema_version SET version_num = $1", NEWER)
    service = await start(WORKERS="1").ready()
    (told,) = service.events(
        "the schema is that of a newer version, which should soon replace this one"
    )
    assert (told["schema"], told["needed"]) == (NEWER, SCHEMA_VERSION)
    await gateway.add_cdrs(["one"])
    await gateway.publish([dlr("one", "DELIVRD")])
    await eventually(gateway.statuses, {"one": "delivered"})
    assert await service.stop() == 0


async def test_a_worker_refuses_a_schema_that_breaks_it(start, gateway: Gateway) -> None:
    await gateway.database.execute("UPDATE billing_schema_version SET version_num = $1", BREAKING)
    service = start(WORKERS="1")
    assert await service.ended() == 3
    assert "run a newer billing-service" in service.log_text


async def test_the_migrate_of_an_older_version_leaves_a_newer_schema_alone(
    environment: dict[str, str], gateway: Gateway
) -> None:
    await gateway.database.execute("UPDATE billing_schema_version SET version_num = $1", NEWER)
    said = run_to_end("migrate", environment=environment)
    assert said.returncode == 0, said.stderr
    assert said.stdout == (
        f"schema {NEWER} is newer than {SCHEMA_VERSION}, and serves this version, too\n"
    )
    await gateway.database.execute("UPDATE billing_schema_version SET version_num = $1", BREAKING)
    said = run_to_end("migrate", environment=environment)
    assert said.returncode == 3
    assert "run a newer billing-service" in said.stderr
    found = await gateway.database.fetchval("SELECT version_num FROM billing_schema_version")
    assert found == BREAKING
