"""Writes accounts, balances and CDRs as the application in front of Jasmin does."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import asyncpg

from bench.chaos.plan import AddAccount, AddCdr, Sms

_CHUNK: Final = 500
_CONNECT_SECONDS: Final = 5.0
_COMMAND_SECONDS: Final = 20.0
_RETRY_SECONDS: Final = 0.5
AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

_ADD_ACCOUNT: Final = """
    INSERT INTO accounts (id, name, type, status, currency, jasmin_uid)
    VALUES ($1, $2, 'customer', 'active', 'EUR', $2) ON CONFLICT DO NOTHING
"""
_ADD_BALANCE: Final = """
    INSERT INTO account_balances (account_id, balance, currency)
    VALUES ($1, $2, 'EUR') ON CONFLICT DO NOTHING
"""
_ADD_TOP_UP: Final = """
    INSERT INTO balance_ledger (id, account_id, amount, currency, direction, reason)
    VALUES ($1, $1, $2, 'EUR', 'credit', 'top-up') ON CONFLICT DO NOTHING
"""
_ADD_CDRS: Final = """
    INSERT INTO sms_cdr
        (id, message_id, account_id, connector_id, msisdn, sender, parts, price, currency,
         submit_at)
    SELECT *, 'EUR', now()
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::int[],
                $8::numeric[])
    ON CONFLICT DO NOTHING
"""


class Gateway:
    """Writes rows in the order in which it is given them, however long the database is away.

    Nothing is written twice: an attempt of which nothing is known can be made again.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._waiting: deque[AddCdr | AddAccount] = deque()
        self._connection: asyncpg.Connection | None = None

    @property
    def waiting(self) -> int:
        """How many rows are still to be written."""
        return len(self._waiting)

    def write(self, rows: Sequence[AddCdr | AddAccount]) -> None:
        """Take rows to be written by :meth:`run`."""
        self._waiting.extend(rows)

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                try:
                    await self._write_all()
                except AWAY:
                    self._disconnect()
                await asyncio.sleep(_RETRY_SECONDS if self._waiting else 0.05)
        finally:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _write_all(self) -> None:
        while self._waiting:
            if self._connection is None:
                self._connection = await asyncpg.connect(
                    self._dsn, timeout=_CONNECT_SECONDS, command_timeout=_COMMAND_SECONDS
                )
            chunk = [self._waiting[i] for i in range(min(_CHUNK, len(self._waiting)))]
            async with self._connection.transaction():
                await self._write(self._connection, chunk)
            for _ in chunk:
                self._waiting.popleft()

    async def _write(
        self, connection: asyncpg.Connection, rows: Sequence[AddCdr | AddAccount]
    ) -> None:
        for row in rows:
            if isinstance(row, AddAccount):
                await _add_account(connection, row)
        cdrs = [_cdr(row.sms) for row in rows if isinstance(row, AddCdr)]
        if cdrs:
            await connection.execute(_ADD_CDRS, *zip(*cdrs, strict=True))


async def _add_account(connection: asyncpg.Connection, row: AddAccount) -> None:
    account = row.account
    await connection.execute(_ADD_ACCOUNT, account.id, account.uid)
    if row.balance:
        await connection.execute(_ADD_BALANCE, account.id, account.opening)
        if account.topped_up:
            await connection.execute(_ADD_TOP_UP, account.id, account.opening)


def _cdr(sms: Sms) -> tuple[object, ...]:
    return (
        sms.row_id,
        sms.message_id,
        sms.account.id,
        sms.connector_id,
        "+34600000000",
        "chaos",
        sms.parts,
        sms.price,
    )
