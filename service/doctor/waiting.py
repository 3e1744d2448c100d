"""What waits in the database: parked events, and refunds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.dlq.view import printable
from service.doctor.finding import Finding, ok, problem, unknown, warning
from service.durations import span
from service.quantities import quantity
from service.store.sql import statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import asyncpg

    from service.doctor.look import Look

# Parked events to look at.
SAMPLE: Final = 10_000
# What has been parked for less is nothing to speak of.
PATIENCE_SECONDS: Final = 600.0
# The share of parking.ttl after which the alert speaks, too.
EXPIRING: Final = 0.75
# How often refund.settle a refund may wait, likewise.
OVERDUE: Final = 4


async def _parked(look: Look) -> AsyncIterator[Finding]:
    """Count the parked events, and tell what they wait for."""
    rows = await look.connection.fetch(statement("measure_parked"))
    if not rows:
        yield ok("parked", "no events are parked")
        return
    for row in rows:
        parked = quantity(row["parked"], "event is parked", "events are parked")
        yield _aged(
            "parked",
            f"{row['stream']}: {parked}, the oldest for {span(row['oldest'])}",
            row["oldest"],
            look.settings.parking.ttl,
            f"after {span(look.settings.parking.ttl)} it becomes a dead letter; see below",
        )
    if not await _has_index(look.connection):
        yield unknown("parked", "what they wait for: not looked at without an index on message_id")
        return
    debits = look.settings.bill.charge_mode == "debit"
    wants = await look.connection.fetch(statement("doctor/parked_for_want_of"), SAMPLE, debits)
    unmapped = await look.connection.fetchval(statement("doctor/unmapped_accounts"))
    for row in wants:
        says, remedy = _want(row, unmapped)
        yield _aged("parked", says, row["oldest"], look.settings.parking.ttl, remedy)


async def _has_index(connection: asyncpg.Connection) -> bool:
    return any(row["usable"] for row in await connection.fetch(statement("doctor/cdr_index")))


def _want(row: asyncpg.Record, unmapped: int) -> tuple[str, str]:
    """Say what events wait for, and where that should come from."""
    keys = ", ".join(map(printable, row["keys"]))
    says = f"{row['stream']}: {quantity(row['events'], 'event waits', 'events wait')}"
    match row["want"]:
        case "cdr":
            return (
                f"{says} for CDRs that are not in sms_cdr: {keys}",
                "see that the gateway writes them to this database, with Jasmin's message id in "
                "message_id",
            )
        case "account":
            return (
                f"{says} for the accounts of Jasmin's uids {keys} "
                f"({quantity(unmapped, 'account has', 'accounts have')} no jasmin_uid)",
                "with psql: UPDATE accounts SET jasmin_uid = 'UID' WHERE id = 'ID OF THE ACCOUNT'",
            )
        case "balance":
            return (
                f"{says} for balances of the accounts of Jasmin's uids {keys}, from which they are "
                "to be debited",
                "write the rows of those accounts into account_balances",
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
    refunds = quantity(waiting, "refund waits", "refunds wait")
    says = f"{refunds} to be booked, the oldest for {span(oldest)}"
    if oldest < OVERDUE * look.settings.refund.settle:
        yield ok("refunds", says)
    else:
        yield warning(
            "refunds",
            says,
            "billing-service reconcile names them: their account has no balance, or one in another "
            "currency",
        )


CHECKS: Final[tuple[Callable[[Look], AsyncIterator[Finding]], ...]] = (_parked, _refunds)
