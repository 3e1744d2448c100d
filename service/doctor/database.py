"""Asks every host of the database, all at the same time, and examines the one that takes writes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg

from service.database_url import place
from service.doctor import server, waiting
from service.doctor.finding import Finding, ok, problem, unknown, warning
from service.doctor.look import Look, look
from service.reasons import reason
from service.store import pool
from service.store.errors import describe
from service.store.hosts import CONNECT_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from service.settings import Settings

ANSWER_SECONDS: Final = 5.0
CLOSING_SECONDS: Final = 1.0
FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class Host(NamedTuple):
    """One host of ``database.url``.

    Attributes:
        place: where it is.
        failures: what it answered to attempts to connect.
        look: at it; None where none of them succeeded.
    """

    place: str
    failures: list[Exception]
    look: Look | None = None


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is found, in transactions that cannot write."""
    async with AsyncExitStack() as session:
        hosts = await asyncio.gather(
            *(_reach(session, settings, url) for url in settings.database.urls)
        )
        chosen = _chosen([host.look for host in hosts if host.look is not None])
        for host in hosts:
            for finding in _told(host, chosen):
                yield finding
        for host in hosts:
            if host.look is not None and host.look is chosen:
                async for finding in _examine(chosen, is_pooled=bool(host.failures)):
                    yield finding


async def _reach(session: AsyncExitStack, settings: Settings, url: str) -> Host:
    """Connect to a host; once more as a PgBouncer wants it, where it answers like one."""
    told = settings.database
    host = Host(place(url), [])
    for database in (told, told.model_copy(update={"pgbouncer": True})):
        options = pool.session(database, "billing-service doctor")
        options["target_session_attrs"] = "any"  # standbys are looked at as well
        try:
            connection = await asyncpg.connect(
                url, timeout=CONNECT_SECONDS, command_timeout=ANSWER_SECONDS, **options
            )
            session.push_async_callback(_close, connection)
            return host._replace(look=await look(connection, settings, host.place))
        except FAILURES as error:
            host.failures.append(error)
            if not pool.is_pooled(error):
                break
    return host


async def _close(connection: asyncpg.Connection) -> None:
    with suppress(*FAILURES):
        await connection.close(timeout=CLOSING_SECONDS)


def _chosen(looks: Sequence[Look]) -> Look | None:
    """Return what the service would use: the first host that takes writes; else any."""
    writable = (look for look in looks if not look.server["read_only"])
    return next(writable, looks[0] if looks else None)


def _told(host: Host, chosen: Look | None) -> Iterator[Finding]:
    """Say how a host is, as far as the examination of the chosen one does not."""
    is_served = chosen is not None and not chosen.server["read_only"]
    for error in host.failures:
        yield _refused(error, host, warning if is_served and host.look is not chosen else problem)
    if host.look is None or host.look is chosen:
        return
    says = f"PostgreSQL {host.look.version} at {host.place}"
    if host.look.server["read_only"]:
        yield ok("database", f"{says} answers, and takes no writes: a standby")
    else:
        yield warning(
            "database",
            f"{says} takes writes as well",
            "see that both names lead to one server: of two primaries one has what the other lacks",
        )


def _refused(error: Exception, host: Host, level: Callable[..., Finding]) -> Finding:
    if refusal := pool.refusal(error):
        return level("database", f"{host.place}: {refusal}")
    if isinstance(error, asyncpg.PostgresError):
        return level(
            "database",
            f"PostgreSQL at {host.place} takes no connection: {describe(error)}",
            "wait while it starts or stops; raise max_connections if it has too many",
        )
    return level(
        "database",
        f"PostgreSQL at {host.place} cannot be reached: {reason(error)}",
        "start it, or correct host and port in database.url (BILLING_DATABASE_URL)",
    )


async def _examine(look: Look, *, is_pooled: bool) -> AsyncIterator[Finding]:
    """Make all checks, but for what has been told already."""
    for check in (*server.CHECKS, *waiting.CHECKS):
        if is_pooled and check is server.pooler:
            continue
        try:
            async with look.connection.transaction(readonly=True):
                async for finding in check(look):
                    yield finding
        except FAILURES as error:
            name = check.__name__.strip("_")
            yield unknown(name, f"{name.replace('_', ' ')}: not looked at: {describe(error)}")
