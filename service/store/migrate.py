"""Brings the database's schema up to date, one host at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import alembic.command
import psycopg
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import errors
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from service import versions
from service.exits import CannotStart
from service.store.pool import SCHEMA_VERSION, schema_problem

# A gateway may well use Alembic in the same database, under its default table.
VERSION_TABLE = "billing_schema_version"
SCRIPTS = Path(__file__).parent / "migrations"
LOCK_KEY = 7_305_808_869_231_650  # any number, the same on every host
LOCK_POLL_SECONDS = 0.5
# How long a change may wait for the gateway's own transactions before it gives way to them.
LOCK_TIMEOUT = "10s"
# For each host of the URL.
CONNECT_SECONDS = 10


class Pooled(Exception):
    """A connection pooler is in between, and would give each statement another session."""


def migrate(url: str, report: Callable[[str], None]) -> None:
    """Run what is pending; does nothing on a database that is up to date, or ahead.

    Args:
        url: PostgreSQL URL of a role that may create tables.
        report: is told, in a line each, what happens.

    Raises:
        Pooled: the URL leads to a connection pooler.
        CannotStart: the server is too old, or the schema too new.
        sqlalchemy.exc.DBAPIError, psycopg.Error: the database refused or is away.
    """
    connect = partial(psycopg.connect, url, connect_timeout=CONNECT_SECONDS)
    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    with connect(autocommit=True) as lock:
        versions.check_postgresql(lock.info.server_version // 10_000)
        with _one_host_at_a_time(lock, report), engine.connect() as connection:
            connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            connection.commit()
            before = _current(connection)
            if before and before > SCHEMA_VERSION:
                _accept(before, report)
                return
            config = _config()
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")
            after = _current(connection)
    report(f"schema {after}" + (" is up to date" if before == after else f" (was {before})"))


def pending(version: str | None) -> list[str]:
    """Return the migrations that a schema of this version lacks, the first one first."""
    revisions = ScriptDirectory.from_config(_config()).iterate_revisions("head", version or "base")
    return [
        f"{each.revision} {each.doc.partition(',')[0].rstrip('.')}"
        for each in reversed(list(revisions))
    ]


def explain(error: psycopg.Error | DBAPIError, url: str) -> str:
    """Say in a line why the database refused, or is away, and what to do about it."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = str(cause).partition("\n")[0]
    if isinstance(cause, errors.InsufficientPrivilege):
        return (
            f"{reason}; run config/postgres/roles.sql as its head says, with -v gateway_owner=ROLE "
            "where ROLE owns the gateway's tables, and give migrate the URL of billing_migrator"
        )
    if isinstance(cause, errors.LockNotAvailable):
        lines = (getattr(error, "statement", None) or "").splitlines()
        change = next((line for line in lines if line and not line.startswith("--")), "")
        return (
            f"{reason}: {change}: another session has held this table for {LOCK_TIMEOUT}; let its "
            "transaction end (pg_stat_activity shows it), and run again: billing-service migrate"
        )
    database = f'"{urlsplit(url).path[1:]}"'
    if isinstance(cause, psycopg.OperationalError) and f"database {database} does" in reason:
        return (
            f"{reason}; create it (CREATE DATABASE {database}), or check database.url "
            "(BILLING_DATABASE_URL)"
        )
    if isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None:  # not connected
        return (
            f"{reason}; check database.url (BILLING_DATABASE_URL), and that PostgreSQL runs there"
        )
    return reason


def _accept(newer: str, report: Callable[[str], None]) -> None:
    """Leave a schema as it is that a newer version has migrated. Raises CannotStart."""
    if problem := schema_problem(newer):
        raise CannotStart(problem)
    report(f"schema {newer} is newer than {SCHEMA_VERSION}, and serves this version, too")


@contextmanager
def _one_host_at_a_time(
    connection: psycopg.Connection, report: Callable[[str], None]
) -> Iterator[None]:
    """Hold an advisory lock that goes away with its connection.

    Polled rather than waited for: a statement that waits holds a snapshot, for which the other
    host's CREATE INDEX CONCURRENTLY would wait in turn.
    """
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        raise Pooled
    waited = False
    while True:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,)).fetchone()
        if row is not None and row[0]:
            break
        if not waited:
            report("another host is migrating; waiting for it")
            waited = True
        time.sleep(LOCK_POLL_SECONDS)
    yield


def _current(connection: Connection) -> str | None:
    found = connection.exec_driver_sql(f"SELECT to_regclass('{VERSION_TABLE}')").scalar()
    revision = (
        connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()  # noqa: S608
        if found
        else None
    )
    connection.commit()
    return str(revision) if revision else None


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    return config
