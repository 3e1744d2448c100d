"""Compares ledger, balances, charges, refunds and CDRs, all as of one moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg

from service.database_url import place
from service.reasons import reason
from service.store import pool
from service.store.errors import describe
from service.store.hosts import Hosts
from service.store.sql import statement

if TYPE_CHECKING:
    from service.settings import Settings


class Check(NamedTuple):
    """One thing that must be so.

    Attributes:
        name: of its file in ``sql/checks``; the statement returns whatever is otherwise.
        claim: what must be so.
    """

    name: str
    claim: str


CHECKS: Final = (
    Check("balances", "balance = opening + credits - debits"),
    Check("refund_entries", "each refund and reversal has its ledger entry"),
    Check("debit_entries", "each debited charge has its ledger entry"),
    Check("stray_entries", "each ledger entry of ours belongs to something"),
    Check("confirmed_amounts", "CDRs are finalised with their confirmed charges"),
    Check("statuses", "CDRs are not behind their billing events"),
    Check("refunded_amounts", "CDRs show their refunds, none above the price"),
    Check("overdue_refunds", "no refund is left waiting"),
)
IF_REFUNDING: Final = Check("missing_refunds", "failed submissions are refunded")
IF_REVERSING: Final = Check("unreversed_refunds", "delivered messages keep no refund")
IF_DEBITING: Final = Check("missing_debits", "confirmed charges are debited")

_OLD_SCHEMA: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
)


class Difference(NamedTuple):
    """A row that is not as it must be: its key (message id, bill id, account or ledger entry)."""

    key: str
    detail: str


class Result(NamedTuple):
    """What a check found; ``rows`` are the first of ``differences``."""

    check: Check
    differences: int
    rows: list[Difference]


class Reconciliation(NamedTuple):
    """All results.

    Attributes:
        results: one for each check.
        compared: how many rows of each kind were looked at.
        opened: accounts seen for the first time: their opening balances were recorded, so that
            a drift, and refunds that are missing, are found from now on.
    """

    results: list[Result]
    compared: dict[str, int]
    opened: int

    @property
    def differences(self) -> int:
        """How many rows are not as they must be."""
        return sum(result.differences for result in self.results)


async def reconcile(
    settings: Settings, limit: int, report: Callable[[str], None]
) -> Reconciliation:
    """Compare everything in one snapshot, while the service and the gateway go on working.

    Args:
        settings: where the database is, and which rules apply.
        limit: how many rows to name for each check at most.
        report: is told, in a line each, what is being looked at.

    Raises:
        One of ``store.errors.OUTAGES``.
    """
    connection = await Hosts(settings.database).connect(
        server_settings={"application_name": "billing-service reconcile", "timezone": "UTC"},
        statement_cache_size=0,  # for a PgBouncer in between
        # Whatever the URL asks for: billing_reader only reads by default, which is not read-write.
        target_session_attrs="primary",
    )
    debits = settings.bill.charge_mode == "debit"
    try:
        async with connection.transaction():
            await connection.execute("SET TRANSACTION READ WRITE")  # not every role does by default
            opened = await connection.fetch(statement("record_openings"))
        async with connection.transaction(isolation="repeatable_read"):
            results = []
            for check in _checks(settings):
                report(f"checking: {check.claim}")
                results.append(await _run(connection, check, limit, debits=debits))
            compared = await connection.fetchrow(statement("measure_money"))
    finally:
        await connection.close()
    return Reconciliation(results, dict(compared or {}), len(opened))


def explain(error: Exception, url: str) -> str:
    """Say in a line why the database refused, or is away, and what to do about it."""
    if isinstance(error, _OLD_SCHEMA):
        return f"{error}; run: billing-service migrate"
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return (
            f"{error}; run config/postgres/roles.sql again, as its head says, or use the role "
            "billing_reader that it makes"
        )
    if problem := pool.refusal(error):
        return problem
    is_answer = isinstance(error, asyncpg.PostgresError)
    if is_answer and not isinstance(error, asyncpg.PostgresConnectionError):
        return f"PostgreSQL at {place(url)} refuses: {describe(error)}"
    why = reason(error) if isinstance(error, OSError) else describe(error)
    return (
        f"PostgreSQL at {place(url)} is away: {why}; check database.url (BILLING_DATABASE_URL), "
        "and that it runs there"
    )


def _checks(settings: Settings) -> list[Check]:
    optional = {
        IF_REFUNDING: settings.refund.submissions,
        IF_REVERSING: settings.refund.after_delivery == "reverse",
        IF_DEBITING: settings.bill.charge_mode == "debit",
    }
    return [*CHECKS, *(check for check, applies in optional.items() if applies)]


async def _run(connection: asyncpg.Connection, check: Check, limit: int, *, debits: bool) -> Result:
    # The statement is one of our own files; it may ask the table `mode` for the charge mode.
    rows = await connection.fetch(
        "WITH mode (debits) AS (SELECT $2::boolean)"  # noqa: S608
        " SELECT key, detail, count(*) OVER ()"
        f" FROM ({statement(f'checks/{check.name}')}) AS difference"
        " ORDER BY key, detail LIMIT $1",
        max(1, limit),
        debits,
    )
    differences = rows[0]["count"] if rows else 0
    return Result(check, differences, [Difference(*row[:2]) for row in rows[:limit]])
