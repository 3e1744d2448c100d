"""What PostgreSQL tells: link, schema, privileges, clocks, and what waits in it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg

from service.dlq.view import printable
from service.doctor.finding import Finding, ok, problem, reason, seconds, unknown, warning
from service.store import pool
from service.store.errors import describe
from service.store.hosts import Hosts
from service.store.sql import statement
from service.versions import OLDEST_POSTGRESQL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from service.settings import Settings

ANSWER_SECONDS: Final = 5.0
CLOSING_SECONDS: Final = 1.0
FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
CLOCK_SECONDS: Final = 2.0
# Parked events to look at.
SAMPLE: Final = 10_000
# What has been parked for less is nothing to speak of.
PATIENCE_SECONDS: Final = 600.0
# The share of parking.ttl after which the alert speaks, too.
EXPIRING: Final = 0.75
# How often refund.settle a refund may wait, likewise.
OVERDUE: Final = 4


class Look(NamedTuple):
    """What all checks share.

    Attributes:
        connection: to the database.
        settings: all of them.
        server: a row of ``doctor/server.sql``.
        ahead: by how much the database's clock is ahead of this machine's.
        precision: how far that may be wrong.
    """

    connection: asyncpg.Connection
    settings: Settings
    server: asyncpg.Record
    ahead: timedelta
    precision: timedelta


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is found, in transactions that cannot write."""
    database = settings.database
    for told in (database, database.model_copy(update={"pgbouncer": True})):
        try:
            connection = await Hosts(told).connect(
                **pool.session(told, "billing-service doctor"), command_timeout=ANSWER_SECONDS
            )
            break
        except FAILURES as error:
            yield _refused(error)
            if not pool.is_pooled(error) or told.pgbouncer:
                return
    try:
        look = await _look(connection, settings)
        for check in CHECKS if told is database else CHECKS_BEHIND_A_POOLER:
            try:
                async with connection.transaction(readonly=True):
                    async for finding in check(look):
                        yield finding
            except FAILURES as error:
                name = check.__name__.strip("_")
                yield unknown(name, f"{name.replace('_', ' ')}: not looked at: {describe(error)}")
    except FAILURES as error:
        yield problem("database", f"PostgreSQL went away meanwhile: {describe(error)}")
    finally:
        with suppress(*FAILURES):
            await connection.close(timeout=CLOSING_SECONDS)


def _refused(error: BaseException) -> Finding:
    if refusal := pool.refusal(error):
        return problem("database", refusal)
    if isinstance(error, asyncpg.PostgresError):
        return problem(
            "database",
            f"PostgreSQL takes no connection: {describe(error)}",
            "wait while it starts or stops; raise max_connections if it has too many",
        )
    return problem(
        "database",
        f"PostgreSQL cannot be reached: {reason(error)}",
        "start it, or correct host and port in database.url (BILLING_DATABASE_URL)",
    )


async def _look(connection: asyncpg.Connection, settings: Settings) -> Look:
    async with connection.transaction(readonly=True):
        before = datetime.now(UTC)
        (server,) = await connection.fetch(statement("doctor/server"))
        after = datetime.now(UTC)
    ahead = server["now"] - before - (after - before) / 2
    return Look(connection, settings, server, ahead, (after - before) / 2)


async def _link(look: Look) -> AsyncIterator[Finding]:
    """Say what answers, and whether others could listen."""
    server, database = look.server, look.settings.database
    version = server["version"].split()[0]
    yield ok(
        "database",
        f"PostgreSQL {version} takes role {server['role']} on database {server['database']}",
    )
    if server["number"] // 10_000 < OLDEST_POSTGRESQL:
        yield problem(
            "database_version",
            f"PostgreSQL {version} is too old",
            f"install {OLDEST_POSTGRESQL} or later",
        )
    if database.is_exposed:
        yield warning(
            "database_tls",
            "what is said to PostgreSQL can be read and forged on the way",
            "write ?sslmode=verify-full&sslrootcert=FILE into database.url (BILLING_DATABASE_URL)",
        )
    else:
        tls = "TLS" if server["tls"] else "no TLS, and none is needed on this machine"
        yield ok("database_tls", tls)


async def _pooler(look: Look) -> AsyncIterator[Finding]:
    """Compare database.pgbouncer with what the URL leads to."""
    is_pooled = look.connection.get_server_pid() != look.server["pid"]
    is_told = look.settings.database.pgbouncer
    variable = "database.pgbouncer (BILLING_DATABASE_PGBOUNCER)"
    if is_pooled and not is_told:
        yield problem("pgbouncer", "a PgBouncer is in between", f"set {variable} to true")
    elif is_told and not is_pooled:
        yield warning(
            "pgbouncer",
            "no PgBouncer is in between, yet statements are prepared again and again",
            f"set {variable} to false",
        )
    else:
        yield ok("pgbouncer", f"{'a' if is_pooled else 'no'} PgBouncer in between, as is set")


async def _writable(look: Look) -> AsyncIterator[Finding]:
    """See whether commits are possible, and outlive a crash."""
    if look.server["read_only"]:
        yield problem(
            "writable",
            "PostgreSQL is read-only: it is a standby, or default_transaction_read_only is on",
            "let database.url (BILLING_DATABASE_URL) lead to the primary, with the service's role",
        )
    unsafe = [name for name in ("fsync", "full_page_writes") if not look.server[name]]
    if look.server["synchronous_commit"] == "off":
        unsafe.append("synchronous_commit")
    if unsafe:
        yield problem(
            "durability",
            f"{', '.join(unsafe)} is off: what has been acknowledged to RabbitMQ is lost when "
            "PostgreSQL crashes",
            "set it to on in postgresql.conf, for the database and for the role",
        )
    else:
        yield ok("durability", "a COMMIT outlives a crash: fsync and synchronous_commit are on")


async def _room(look: Look) -> AsyncIterator[Finding]:
    """Compare the connections that workers open with those that are allowed."""
    workers, allowed = look.settings.workers, look.server["connections"]
    needed = workers * pool.size(captures=look.settings.capture.enabled)
    says = f"{workers} workers open up to {needed} connections; {allowed} are allowed in all"
    if needed > allowed and not look.settings.database.pgbouncer:
        yield problem(
            "connections",
            says,
            "raise max_connections (or the limit of role or database), lower workers "
            "(BILLING_WORKERS), or put a PgBouncer in between",
        )
    else:
        yield ok("connections", says)


async def _clock(look: Look) -> AsyncIterator[Finding]:
    """Compare the database's clock with this machine's."""
    ahead = look.ahead.total_seconds()
    if abs(ahead) <= CLOCK_SECONDS + look.precision.total_seconds():
        yield ok("clock", f"PostgreSQL's clock agrees with this machine's ({ahead:+.3f} s)")
    else:
        yield warning(
            "clock",
            f"PostgreSQL's clock differs from this machine's by {ahead:+.1f} s",
            "let both follow NTP: ages and times in logs, metrics and tables do not agree",
        )


async def _schema_version(look: Look) -> str | None:
    """Return the version that the schema is at; None where there is none."""
    try:
        async with look.connection.transaction():
            version: str | None = await look.connection.fetchval(statement("schema_version"))
    except asyncpg.UndefinedTableError:
        return None
    return version


async def _schema(look: Look) -> AsyncIterator[Finding]:
    """Compare the schema's version, and name the migrations that wait."""
    version = await _schema_version(look)
    if not (difference := pool.schema_problem(version)):
        if version == pool.SCHEMA_VERSION:
            yield ok("schema", f"the schema is at {version}, as this version needs it")
        else:
            yield warning(
                "schema",
                f"the schema is at {version}, that of a newer version; it serves this one, too, "
                f"which needs {pool.SCHEMA_VERSION}",
                "finish the upgrade: put the newer billing-service in place on every host",
            )
        return
    from service.store.migrate import pending  # noqa: PLC0415 - loads slowly

    waiting = ", ".join(pending(version)) if (version or "") < pool.SCHEMA_VERSION else ""
    yield problem("schema", difference + (f" (pending: {waiting})" if waiting else ""))


async def _database_privileges(look: Look) -> AsyncIterator[Finding]:
    """Name the privileges that the role lacks, or what there is nothing of to have them on."""
    captures = look.settings.capture.enabled
    try:
        async with look.connection.transaction():
            rows = await look.connection.fetch(statement("missing_privileges"), captures)
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        if pool.schema_problem(await _schema_version(look)):
            raise  # no wonder, and told already
        yield problem(
            "schema",
            f"what a migration made is gone: {error}",
            "restore it from a backup: without it no event can be settled",
        )
        return
    if not rows:
        yield ok("database_privileges", "the role may do all that the service does")
        return
    missing = ", ".join(row["privilege"] for row in rows)
    yield problem(
        "database_privileges",
        f"role {rows[0]['role']} lacks privileges: {missing}",
        "run config/postgres/roles.sql, as its head says",
    )


async def _has_index(connection: asyncpg.Connection) -> bool:
    return any(row["usable"] for row in await connection.fetch(statement("doctor/cdr_index")))


async def _cdr_index(look: Look) -> AsyncIterator[Finding]:
    """See that CDRs are found by their message ids."""
    rows = await look.connection.fetch(statement("doctor/cdr_index"))
    usable = [row["name"] for row in rows if row["usable"]]
    broken = [row["name"] for row in rows if not row["usable"]]
    if usable:
        yield ok("cdr_index", f"sms_cdr has an index on message_id: {usable[0]}")
        return
    drop = "".join(f"DROP INDEX CONCURRENTLY {name}; " for name in broken)
    yield problem(
        "cdr_index",
        "sms_cdr has no index on message_id that can be used"
        + (f" ({', '.join(broken)} is invalid or partial)" if broken else "")
        + ": each batch reads the whole table",
        f"with psql, as its owner: {drop}CREATE INDEX CONCURRENTLY ON sms_cdr (message_id)",
    )


async def _parked(look: Look) -> AsyncIterator[Finding]:
    """Count the parked events, and tell what they wait for."""
    rows = await look.connection.fetch(statement("measure_parked"))
    if not rows:
        yield ok("parked", "no events are parked")
        return
    for row in rows:
        yield _aged(
            "parked",
            f"{row['stream']}: {row['parked']:,} events are parked, the oldest for "
            f"{seconds(row['oldest'])}",
            row["oldest"],
            look.settings.parking.ttl,
            f"after {seconds(look.settings.parking.ttl)} they become dead letters; see below",
        )
    if not await _has_index(look.connection):
        yield unknown("parked", "what they wait for: not looked at without an index on message_id")
        return
    wants = await look.connection.fetch(statement("doctor/parked_for_want_of"), SAMPLE)
    unmapped = await look.connection.fetchval(statement("doctor/unmapped_accounts"))
    for row in wants:
        says, remedy = _want(row, unmapped)
        yield _aged("parked", says, row["oldest"], look.settings.parking.ttl, remedy)


def _want(row: asyncpg.Record, unmapped: int) -> tuple[str, str]:
    """Say what events wait for, and where that should come from."""
    keys = ", ".join(map(printable, row["keys"]))
    says = f"{row['stream']}: {row['events']:,} events wait"
    match row["want"]:
        case "cdr":
            return (
                f"{says} for CDRs that are not in sms_cdr: {keys}",
                "see that the gateway writes them to this database, with Jasmin's message id in "
                "message_id",
            )
        case "account":
            return (
                f"{says} for the accounts of Jasmin's uids {keys} ({unmapped:,} accounts have no "
                "jasmin_uid)",
                "with psql: UPDATE accounts SET jasmin_uid = 'UID' WHERE id = 'ID OF THE ACCOUNT'",
            )
        case _:
            return (
                f"{says} for the message of the operator's ids {keys}",
                "see that Jasmin publishes dlr.submit_sm_resp (0.11.1 does not for messages of one "
                "part) and that the queue of dlr is bound",
            )


def _aged(check: str, says: str, age: float, limit: float, remedy: str) -> Finding:
    """Return a finding that is the worse the nearer the limit is."""
    if age >= EXPIRING * limit:
        return problem(check, says, remedy)
    return warning(check, says, remedy) if age >= PATIENCE_SECONDS else ok(check, says)


async def _refunds(look: Look) -> AsyncIterator[Finding]:
    """Count the refunds that wait."""
    ((waiting, oldest),) = await look.connection.fetch(statement("measure_refunds"))
    if not waiting:
        yield ok("refunds", "no refunds wait")
        return
    says = f"{waiting:,} refunds wait to be booked, the oldest for {seconds(oldest)}"
    if oldest < OVERDUE * look.settings.refund.settle:
        yield ok("refunds", says)
    else:
        yield warning(
            "refunds",
            says,
            "billing-service reconcile names them: their account has no balance, or one in another "
            "currency",
        )


CHECKS: Final[tuple[Callable[[Look], AsyncIterator[Finding]], ...]] = (
    _link,
    _pooler,
    _writable,
    _room,
    _clock,
    _schema,
    _database_privileges,
    _cdr_index,
    _parked,
    _refunds,
)
# Where that has been told already.
CHECKS_BEHIND_A_POOLER: Final = tuple(check for check in CHECKS if check is not _pooler)
