"""The rows that are there before a run, as text for COPY, and how they get into the tables."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import Final

import asyncpg

from bench.lab.workload import (
    CONNECTOR,
    CURRENCY,
    OPENING_BALANCE,
    Sms,
    Tables,
    account_id,
    date,
    make_sms,
)
from service.events.statuses import SUBMITTED

Progress = Callable[[str], None]

_LINES: Final = 5000
_DATE: Final = "%Y-%m-%d %H:%M:%S+00"
_NULL: Final = r"\N"
_CDR_COLUMNS: Final = (
    "message_id",
    "account_id",
    "connector_id",
    "msisdn",
    "sender",
    "status",
    "status_rank",
    "smpp_msgid",
    "parts",
    "price",
    "currency",
    "submit_at",
)


async def load(connection: asyncpg.Connection, tables: Tables, progress: Progress) -> None:
    """Fill empty tables, and leave them as autovacuum would."""
    if tables.fillfactor is not None:
        await connection.execute(f"ALTER TABLE sms_cdr SET (fillfactor = {tables.fillfactor:d})")
    accounts = [account_id(tables.seed, number) for number in range(tables.accounts)]
    await _copy(
        connection,
        "accounts",
        ("id", "name", "type", "status", "currency"),
        (f"{key}\taccount\tclient\tactive\t{CURRENCY}\n" for key in accounts),
    )
    await _copy(
        connection,
        "account_balances",
        ("account_id", "balance", "currency"),
        (f"{key}\t{OPENING_BALANCE}\t{CURRENCY}\n" for key in accounts),
    )
    cdrs = (_cdr(sms, tables, accounts[sms.account]) for sms in _messages(tables, progress))
    await _copy(connection, "sms_cdr", _CDR_COLUMNS, cdrs)
    if tables.is_answered:
        links = (f"{sms.operator_id}\t{sms.message_id}\n" for sms in _messages(tables, progress))
        await _copy(connection, "billing_link", ("smpp_msgid", "message_id"), links)
    progress("VACUUM ANALYZE")
    await connection.execute("VACUUM ANALYZE")


def _messages(tables: Tables, progress: Progress) -> Iterator[Sms]:
    for number in range(tables.cdrs):
        if number % _LINES == 0:
            progress(f"loading: row {number:,} of {tables.cdrs:,}")
        yield make_sms(tables, number)


def _cdr(sms: Sms, tables: Tables, account: str) -> str:
    """Return the row that a gateway writes, before or after the operator's answer."""
    status, rank, operator_id = (
        ("submitted", SUBMITTED, sms.operator_id) if tables.is_answered else ("queued", 0, _NULL)
    )
    return (
        f"{sms.message_id}\t{account}\t{CONNECTOR}\t3466{sms.number:08d}\tACME\t{status}\t{rank}\t"
        f"{operator_id}\t1\t{sms.price}\t{CURRENCY}\t{date(sms.submitted_at, _DATE)}\n"
    )


async def _copy(
    connection: asyncpg.Connection, table: str, columns: tuple[str, ...], lines: Iterable[str]
) -> None:
    await connection.copy_to_table(table, source=_blocks(iter(lines)), columns=columns)


async def _blocks(lines: Iterator[str]) -> AsyncIterator[bytes]:
    while block := "".join(islice(lines, _LINES)):
        yield block.encode()
