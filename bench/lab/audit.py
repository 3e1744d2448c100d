"""The conservation check: whether every event has had its effect once, and nothing else has."""

from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg

from bench.lab import expectation, queues
from bench.lab.check import Check
from bench.lab.contestant import Contestant
from bench.lab.place import Place
from bench.lab.workload import Kind, Workload

_CDRS = """
    SELECT message_id, status, error_code, delivery_at, smpp_msgid, confirmed_amount,
           refunded_amount
    FROM sms_cdr WHERE status <> $1
"""


async def audit(
    place: Place, workload: Workload, contestant: Contestant, *, published: int, committed: int
) -> list[Check]:
    """Compare what is there after a run with what must be.

    Args:
        place: where it was; nobody consumes there any more.
        workload: what was published.
        contestant: who consumed it.
        published: what the broker has confirmed.
        committed: events in committed batches, dead-lettered ones included.
    """
    waiting = await queues.lengths(place.amqp_url)
    dead = sum(waiting.pop(source.dead_queue) for source in queues.SOURCES)
    checks = [
        count("events that the broker confirmed", workload.events, published),
        count("events in committed batches", published, committed),
        count("dead letters", 0, dead),
        count("events left in the queues", 0, sum(waiting.values())),
    ]
    async with place.database.connect() as database:
        checks += await check_cdrs(database, workload, is_complete=contestant.is_service)
        if contestant.is_service:
            checks += await _leftovers(database, workload, contestant)
            checks += await _money(database, workload)
    return checks


async def check_cdrs(
    database: asyncpg.Connection, workload: Workload, *, is_complete: bool = True
) -> list[Check]:
    """Compare all CDRs with what they must be; only their status if not ``is_complete``."""
    columns = len(expectation.Cdr._fields) if is_complete else 1
    expected = {key: tuple(cdr[:columns]) for key, cdr in expectation.cdrs(workload).items()}
    rows = await database.fetch(_CDRS, expectation.initial_status(workload))
    return [
        compare_rows("CDRs", expected, (row[: columns + 1] for row in map(tuple, rows))),
        count("rows of CDRs", workload.cdrs, await _count(database, "sms_cdr")),
    ]


def count(what: str, expected: int, found: int) -> Check:
    """Compare a number of things."""
    check = Check(what, compared=max(expected, found), different=abs(expected - found))
    if check.different:
        check.differences.append(f"expected {expected:,}, found {found:,}")
    return check


def compare_rows(
    what: str, expected: Mapping[str, tuple[Any, ...]], rows: Iterable[Iterable[Any]]
) -> Check:
    """Compare rows, the first column of which is their key, with what each must have."""
    check = Check(what, compared=len(expected))
    missing = dict(expected)
    for key, *columns in rows:
        if key not in expected:
            check.differ(f"{key}: found {columns}, expected none")
        elif key not in missing:
            check.differ(f"{key}: found twice")
        elif (wanted := missing.pop(key)) != tuple(columns):
            check.differ(f"{key}: found {columns}, expected {list(wanted)}")
    for key, wanted in missing.items():
        check.differ(f"{key}: found none, expected {list(wanted)}")
    return check


async def _leftovers(
    database: asyncpg.Connection, workload: Workload, contestant: Contestant
) -> list[Check]:
    """Look at what waits for something, and at the receipt log, which has duplicates, too."""
    logged = 0
    if contestant.settings.get("receipt_log"):
        logged = workload.messages  # an answer is no receipt
    return [
        count("parked events", 0, await _count(database, "billing_parked")),
        count("rows of the receipt log", logged, await _count(database, "billing_receipt_log")),
        count("links", _links(workload), await _count(database, "billing_link")),
    ]


def _links(workload: Workload) -> int:
    if workload.kind is Kind.ANSWERS:
        return workload.messages
    return workload.cdrs if workload.kind is Kind.NATIVE else 0


async def _money(database: asyncpg.Connection, workload: Workload) -> list[Check]:
    charges = "SELECT bid, account_id::text, amount, status FROM billing_event"
    ledger = "SELECT reference, account_id::text, amount, direction FROM balance_ledger"
    balances = "SELECT account_id::text, balance FROM account_balances"
    expected = {key: (balance,) for key, balance in expectation.balances(workload).items()}
    return [
        compare_rows("charges", expectation.charges(workload), await database.fetch(charges)),
        compare_rows("ledger", expectation.ledger(workload), await database.fetch(ledger)),
        compare_rows("balances", expected, await database.fetch(balances)),
    ]


async def _count(database: asyncpg.Connection, table: str) -> int:
    found: int = await database.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
    return found
