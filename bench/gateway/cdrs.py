"""Where the gateway's own rows are written: accounts, CDRs, and the debit for each message."""

from decimal import Decimal
from typing import Final

import asyncpg

from bench.gateway.sms import Account, Sms

OPENING: Final = Decimal(10_000)
CONNECTOR: Final = "smsc1"

_ADD_ACCOUNT: Final = """
    INSERT INTO accounts (id, name, type, status, currency, jasmin_uid)
    VALUES ($1, $2, 'customer', 'active', 'EUR', $2)
"""
_ADD_BALANCE: Final = """
    INSERT INTO account_balances (account_id, balance, currency) VALUES ($1, $2, 'EUR')
"""
_ADD_CDR: Final = """
    INSERT INTO sms_cdr
        (message_id, account_id, connector_id, msisdn, sender, parts, price, currency, submit_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'EUR', to_timestamp($8))
"""
_ADD_DEBIT: Final = """
    INSERT INTO balance_ledger (account_id, amount, currency, direction, reason, reference)
    VALUES ($1, $2, 'EUR', 'debit', 'sms', $3)
"""
_TAKE: Final = """
    UPDATE account_balances SET balance = balance - $2, updated_at = now() WHERE account_id = $1
"""


async def write_account(pool: asyncpg.Pool, account: Account) -> None:
    """Write an account with its opening balance."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_ADD_ACCOUNT, account.id, account.uid)
        await connection.execute(_ADD_BALANCE, account.id, OPENING)


async def write_cdr(pool: asyncpg.Pool, sms: Sms) -> None:
    """Write what an API gateway writes once Jasmin has accepted a message: CDR and debit."""
    account = sms.account
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            _ADD_CDR,
            sms.message_id,
            account.id,
            CONNECTOR,
            sms.destination,
            sms.sender,
            sms.parts,
            sms.price,
            sms.submitted_at,
        )
        await connection.execute(_ADD_DEBIT, account.id, sms.price, sms.message_id)
        await connection.execute(_TAKE, account.id, sms.price)
