"""Connections to PostgreSQL."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from service import retry, tls, versions
from service.database_url import place
from service.exits import CannotStart
from service.outage import Outage
from service.store import errors, sql
from service.store.hosts import Hosts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg.pool import PoolConnectionProxy

    from service.settings import Database

    Connection = PoolConnectionProxy[asyncpg.Record]

# The last of the migrations, which are too heavy to be loaded by every worker.
SCHEMA_VERSION = "0007"

# A batch of each stream and the sweep.
CONNECTIONS = 3
CONNECTIONS_CAPTURING = 4

# All statements that are prepared on a connection, and more.
STATEMENTS = 100

# What a PgBouncer passes on.
POOLED_SETTINGS = {"timezone": "UTC"}
# Nothing here is helped by compiling a query, and a plan may be made at any moment.
# A host that vanishes in the middle of a transaction leaves its locks behind, for which the others
# would wait until TCP gives up, after minutes or hours. This is longer than any of ours idles: a
# sweep that waits for the broker's confirm.
SERVER_SETTINGS = {
    **POOLED_SETTINGS,
    "jit": "off",
    "idle_in_transaction_session_timeout": "15s",
}

# What a PgBouncer in transaction mode answers to a client that takes it for PostgreSQL.
_POOLED = (
    asyncpg.ProtocolViolationError,  # unsupported startup parameter
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)

_FATAL = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
    asyncpg.UndefinedObjectError,  # a parameter of the URL that the server does not know
    asyncpg.InvalidParameterValueError,  # or whose value it does not take
)

log = structlog.get_logger()


async def open_pool(
    settings: Database, name: str, sleep: retry.Sleep, *, captures: bool
) -> asyncpg.Pool:
    """Connect, waiting for a database that is not up yet, and check its schema.

    Args:
        settings: where it is.
        name: ``application_name``, as pg_stat_activity will show it.
        sleep: how to wait between attempts.
        captures: whether CDRs are written, too.

    Raises:
        CannotStart: waiting will not help: wrong credentials, no such database, wrong schema.
    """
    outage = Outage("PostgreSQL", place(settings.url.get_secret_value()))
    async for attempt in retry.patiently(outage, errors.OUTAGES, sleep, unless=_FATAL):
        with attempt:
            try:
                pool = await _connect(settings, name, captures=captures)
            except (*_FATAL, *_POOLED, OSError) as error:
                if problem := refusal(error):
                    raise CannotStart(problem) from error
                raise
    outage.ends()
    return pool


def refusal(error: BaseException) -> str | None:
    """Say what to change where PostgreSQL refuses a connection for good; None where it may pass."""
    if isinstance(error, _FATAL):
        return (
            f"PostgreSQL refuses: {errors.describe(error)}; "
            "check database.url (BILLING_DATABASE_URL)"
        )
    if is_pooled(error):
        return (
            f"PostgreSQL is behind a connection pooler: {errors.describe(error)}; set "
            "database.pgbouncer (BILLING_DATABASE_PGBOUNCER) to true"
        )
    if isinstance(error, OSError) and (problem := _tls_problem(error)):
        return f"{problem} (database.url, BILLING_DATABASE_URL)"
    return None


def is_pooled(error: BaseException) -> bool:
    """Whether this is what a PgBouncer answers to a client that takes it for PostgreSQL."""
    return isinstance(error, _POOLED)


def session(settings: Database, name: str) -> dict[str, Any]:
    """Return how asyncpg is to open a connection that ``pg_stat_activity`` shows as ``name``."""
    server_settings = POOLED_SETTINGS if settings.pgbouncer else SERVER_SETTINGS
    return {
        "server_settings": {**server_settings, "application_name": name},
        # In transaction mode the next statement may go to another server: nothing may be kept
        # there.
        "statement_cache_size": 0 if settings.pgbouncer else STATEMENTS,
    }


def size(*, captures: bool) -> int:
    """Return how many connections a worker opens at most."""
    return CONNECTIONS_CAPTURING if captures else CONNECTIONS


def schema_problem(version: str | None) -> str | None:
    """Say what to do about a schema that does not serve; ``version`` None is none at all.

    A newer one of the same thousand does: migrations within a thousand only add.
    """
    if version and version >= SCHEMA_VERSION and version[0] == SCHEMA_VERSION[0]:
        return None
    found = f"is at {version}" if version else "has not been created"
    remedy = (
        "run a newer billing-service"
        if version and version > SCHEMA_VERSION
        else "run: billing-service migrate"
    )
    return f"the schema {found}, this version needs {SCHEMA_VERSION}; {remedy}"


def privileges_problem(missing: Sequence[asyncpg.Record], *, captures: bool) -> str | None:
    """Say what to do about privileges that are ``missing``, as that statement tells; None if none.

    Args:
        missing: a row for each table and privilege.
        captures: whether CDRs are written, too.
    """
    if not missing:
        return None
    listed = ", ".join(row["privilege"] for row in missing)
    how = " with -v capture=on" if captures else ""
    return (
        f"role {missing[0]['role']} lacks privileges: {listed}; "
        f"run config/postgres/roles.sql{how}, as its head says"
    )


def _tls_problem(error: OSError) -> str | None:
    """Say what to change where a connection failed for a reason that waiting will not mend."""
    if "rejected SSL upgrade" in str(error):
        return "PostgreSQL does not speak TLS: set ssl = on there, or another sslmode here"
    if not isinstance(error, ssl.SSLError):
        return None
    match tls.diagnose(error):
        case tls.Problem.HOST:
            return (
                f"PostgreSQL's certificate is for another name: {tls.reason(error)}; connect by a "
                "name that it has"
            )
        case tls.Problem.TRUST:
            return (
                f"PostgreSQL's certificate cannot be trusted: {tls.reason(error)}; set sslrootcert "
                "to the authority that issued it"
            )
        case tls.Problem.NO_TLS | tls.Problem.REFUSED:
            return f"PostgreSQL refuses the TLS session: {tls.reason(error)}; check sslcert"
    return None


async def _connect(settings: Database, name: str, *, captures: bool) -> asyncpg.Pool:
    pool = await asyncpg.create_pool(
        connect=Hosts(settings).connect,
        **session(settings, name),
        min_size=1,
        max_size=size(captures=captures),
        command_timeout=settings.command_timeout,
        # Nor is there anything to clean up behind a PgBouncer.
        reset=_leave_alone if settings.pgbouncer else None,
    )
    try:
        await _check_version(pool)
        await _check_schema(pool)
        await _check_privileges(pool, captures=captures)
    except BaseException:
        pool.terminate()
        raise
    return pool


async def ping(pool: asyncpg.Pool) -> None:
    """Ask whether the database can be written.

    Raises:
        One of ``errors.OUTAGES``: it is away, or read-only. A session keeps what it was told of
        that when it began, so none of the pool's is used again then.
    """
    async with pool.acquire() as connection, connection.transaction():
        is_read_only = await connection.fetchval(sql.statement("ping"))
    if is_read_only:
        await pool.expire_connections()
        raise asyncpg.ReadOnlySQLTransactionError("PostgreSQL is read-only")


async def _leave_alone(_: asyncpg.Connection) -> None:
    """Do what asyncpg does to a connection that goes back to its pool: nothing."""


async def _check_version(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        versions.check_postgresql(connection.get_server_version().major)


async def _check_schema(pool: asyncpg.Pool) -> None:
    try:
        async with pool.acquire() as connection, connection.transaction():
            version = await connection.fetchval(sql.statement("schema_version"))
    except asyncpg.UndefinedTableError:
        version = None
    if problem := schema_problem(version):
        raise CannotStart(problem)
    if version != SCHEMA_VERSION:
        log.warning(
            "the schema is that of a newer version, which should soon replace this one",
            schema=version,
            needed=SCHEMA_VERSION,
        )


async def _check_privileges(pool: asyncpg.Pool, *, captures: bool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(sql.statement("missing_privileges"), captures)
    if problem := privileges_problem(rows, captures=captures):
        raise CannotStart(problem)
