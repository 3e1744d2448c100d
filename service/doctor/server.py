"""What PostgreSQL tells of itself: link, durability, room, clock, schema, privileges, index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg

from service.doctor.finding import Finding, ok, problem, warning
from service.quantities import quantity
from service.store import pool
from service.store.sql import statement
from service.versions import OLDEST_POSTGRESQL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from service.doctor.look import Look

CLOCK_SECONDS: Final = 2.0


async def _link(look: Look) -> AsyncIterator[Finding]:
    """Say what answers, and whether others could listen."""
    server, database = look.server, look.settings.database
    yield ok(
        "database",
        f"PostgreSQL {look.version} at {look.place} takes role {server['role']} on database "
        f"{server['database']}",
    )
    if server["number"] // 10_000 < OLDEST_POSTGRESQL:
        yield problem(
            "database_version",
            f"PostgreSQL {look.version} is too old",
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


async def pooler(look: Look) -> AsyncIterator[Finding]:
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
    """See whether commits are possible."""
    if look.server["read_only"]:
        yield problem(
            "writable",
            f"PostgreSQL is read-only at {look.place}: it is a standby, or "
            "default_transaction_read_only is on",
            "let database.url (BILLING_DATABASE_URL) lead to the primary, with the service's role",
        )


async def _durability(look: Look) -> AsyncIterator[Finding]:
    """See whether commits outlive a crash and, where there are several hosts, a failover."""
    unsafe = [name for name in ("fsync", "full_page_writes") if not look.server[name]]
    if look.server["synchronous_commit"] == "off":
        unsafe.append("synchronous_commit")
    fails_over = len(look.settings.database.urls) > 1
    if unsafe:
        yield problem(
            "durability",
            f"{', '.join(unsafe)} is off: what has been acknowledged to RabbitMQ is lost when "
            "PostgreSQL crashes",
            "set it to on in postgresql.conf, for the database and for the role",
        )
    elif fails_over and (cause := _unreplicated(look.server)):
        yield problem(
            "durability",
            f"{cause}, so that no COMMIT waits for a standby: what has been acknowledged to "
            "RabbitMQ, and the money that it moved, is lost when a standby takes over",
            "on every host name the standbys in synchronous_standby_names, and set "
            "synchronous_commit to on, for the database and for the role",
        )
    else:
        outlived = "a crash and a failover" if fails_over else "a crash"
        yield ok("durability", f"a COMMIT outlives {outlived}, as PostgreSQL is set")


def _unreplicated(server: asyncpg.Record) -> str | None:
    """Say why a COMMIT is answered before a standby has it; None where it is not."""
    if not server["standbys"].strip():
        return "synchronous_standby_names is empty"
    if server["synchronous_commit"] == "local":
        return "synchronous_commit is local"
    return None


async def _room(look: Look) -> AsyncIterator[Finding]:
    """Compare the connections that workers open with those that are allowed."""
    workers, allowed = look.settings.workers, look.server["connections"]
    needed = workers * pool.size(captures=look.settings.capture.enabled)
    opened = quantity(workers, "worker opens", "workers open")
    says = f"{opened} up to {needed} connections; {allowed} are allowed in all"
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
            missing = await look.connection.fetch(statement("missing_privileges"), captures)
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        if pool.schema_problem(await _schema_version(look)):
            raise  # no wonder, and told already
        yield problem(
            "schema",
            f"what a migration made is gone: {error}",
            "restore it from a backup: without it no event can be settled",
        )
        return
    if lacking := pool.privileges_problem(missing, captures=captures):
        yield problem("database_privileges", lacking)
    else:
        yield ok("database_privileges", "the role may do all that the service does")


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


CHECKS: Final[tuple[Callable[[Look], AsyncIterator[Finding]], ...]] = (
    _link,
    pooler,
    _writable,
    _durability,
    _room,
    _clock,
    _schema,
    _database_privileges,
    _cdr_index,
)
