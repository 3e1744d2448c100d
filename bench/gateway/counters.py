"""Jasmin's own counters, compared with the operator's journal and with what was settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import asyncpg

from bench.gateway.bed import Bed
from bench.gateway.cdrs import CONNECTOR
from bench.gateway.provision import JASMIN_BALANCE
from bench.gateway.sms import ACCOUNTS, Sms
from bench.lab.check import Check
from bench.smsc.journal import Journal
from bench.stack.jasmin import Jasmin

_THROTTLED: Final = "ESME_RTHROTTLED"
_CENT: Final = Decimal("0.0001")
# Those of Jasmin's bill_request, which name no message.
_BILLS: Final = "SELECT count(*) FROM billing_event WHERE message_id IS NULL"
_BILLED: Final = """
    SELECT a.jasmin_uid, sum(e.amount) FROM billing_event e
    JOIN accounts a ON a.id = e.account_id WHERE e.message_id IS NULL GROUP BY 1
"""
_DEBITED: Final = """
    SELECT a.jasmin_uid, sum(l.amount) FROM balance_ledger l
    JOIN accounts a ON a.id = l.account_id WHERE l.direction = 'debit' GROUP BY 1
"""


@dataclass(frozen=True)
class Counted:
    """What Jasmin says, in jCli.

    Attributes:
        connector: ``stats --smppc``: its counters of PDUs since it was started, by name.
        balances: ``user -l``: what each user has left.
    """

    connector: dict[str, int]
    balances: dict[str, Decimal]


def ask_jasmin(jasmin: Jasmin) -> Counted:
    """Ask for the counters. Raises StackError or OSError when it does not answer."""
    with jasmin.console() as console:
        stats = console.table(f"stats --smppc {CONNECTOR}")
        counters = {name: int(text) for name, text in stats.items() if name.endswith("_count")}
        balances = {
            account.uid: _balance(console.ask(f"user -s {account.uid}")) for account in ACCOUNTS
        }
    return Counted(counters, balances)


def _balance(shown: str) -> Decimal:
    [line] = [line for line in shown.splitlines() if "quota balance" in line]
    return Decimal(line.split()[-1])


def compare_pdus(counted: Counted, journal: Journal, binds: Sequence[int], title: str) -> Check:
    """Compare Jasmin's counters of one life with the operator's journal of its binds."""
    submissions = [each for each in journal.submissions if each.bind in binds]
    receipts = [each for each in journal.receipts() if each.bind in binds]
    statuses = [each.status for each in submissions]
    refused = [status for status in statuses if status not in {"ESME_ROK", _THROTTLED}]
    expected = {
        "submit_sm_request_count": len(submissions),
        "submit_sm_count": statuses.count("ESME_ROK"),
        "throttling_error_count": statuses.count(_THROTTLED),
        "other_submit_error_count": len(refused),
        "deliver_sm_count": sum(each.command == "deliver_sm" for each in receipts),
        "data_sm_count": sum(each.command == "data_sm" for each in receipts),
    }
    found = {name: counted.connector[name] for name in expected}
    return Check(f"{title}: Jasmin's counters and the operator's").compare(expected, found)


async def compare_settled(counted: Counted, messages: Sequence[Sms], bed: Bed) -> Check:
    """Compare Jasmin's counters with what the service has settled, while nothing was killed."""
    spent = {uid: JASMIN_BALANCE - balance for uid, balance in counted.balances.items()}
    charged = await _charged(bed.pool, messages)
    found = {
        "receipts": await bed.pool.fetchval("SELECT count(*) FROM billing_receipt_log"),
        "bills": await bed.pool.fetchval(_BILLS),
        **{f"spent by {uid}": amount for uid, amount in charged.items()},
    }
    expected = {
        "receipts": counted.connector["deliver_sm_count"] + counted.connector["data_sm_count"],
        "bills": counted.connector["submit_sm_count"] - _unbilled(bed.smsc.journal, messages),
        **{f"spent by {uid}": amount.quantize(_CENT) for uid, amount in spent.items()},
    }
    if bed.books.debits:
        found |= {f"taken from {uid}": amount for uid, amount in (await _taken(bed.pool)).items()}
        expected |= {f"taken from {uid}": amount.quantize(_CENT) for uid, amount in spent.items()}
    return Check("undisturbed: Jasmin's counters and billing-service's").compare(expected, found)


def _unbilled(journal: Journal, messages: Sequence[Sms]) -> int:
    """How many submissions were taken without a bill of their own: parts before the last, and
    those that were charged when Jasmin took them.
    """
    charged_early = {sms.destination for sms in messages if not sms.bill}
    return sum(
        each.part != each.parts or each.destination in charged_early
        for each in journal.submissions
        if each.status == "ESME_ROK"
    )


async def _charged(pool: asyncpg.Pool, messages: Sequence[Sms]) -> dict[str, Decimal]:
    """What each user was charged: at once by Jasmin, and later by bills that were recorded."""
    charged = {
        account.uid: sum((sms.charged for sms in messages if sms.account is account), Decimal(0))
        for account in ACCOUNTS
    }
    for uid, amount in await pool.fetch(_BILLED):
        charged[uid] += amount
    return {uid: amount.quantize(_CENT) for uid, amount in charged.items()}


async def _taken(pool: asyncpg.Pool) -> dict[str, Decimal]:
    """What the service has debited to each user."""
    taken = dict.fromkeys((account.uid for account in ACCOUNTS), Decimal(0))
    for uid, amount in await pool.fetch(_DEBITED):
        taken[uid] = amount
    return {uid: amount.quantize(_CENT) for uid, amount in taken.items()}
