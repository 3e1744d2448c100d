"""Jasmin's own counters, compared with the operator's journal and with what was settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import asyncpg

from bench.gateway.cdrs import CONNECTOR
from bench.gateway.provision import JASMIN_BALANCE
from bench.gateway.sms import ACCOUNTS, EARLY_PERCENT, RATE, Sms
from bench.lab.check import Check
from bench.smsc.journal import Journal, Submission
from bench.stack.jasmin import Jasmin

_THROTTLED: Final = "ESME_RTHROTTLED"
_CENT: Final = Decimal("0.0001")


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


async def compare_settled(
    counted: Counted, journal: Journal, messages: Sequence[Sms], pool: asyncpg.Pool
) -> Check:
    """Compare Jasmin's counters with what the service has settled, while nothing was killed."""
    last = [each for each in journal.submissions if each.part == each.parts]
    spent = {account.uid: JASMIN_BALANCE - counted.balances[account.uid] for account in ACCOUNTS}
    found = {
        "receipts": await pool.fetchval("SELECT count(*) FROM billing_receipt_log"),
        "messages taken": await pool.fetchval("SELECT count(*) FROM billing_event"),
        **{f"spent by {uid}": amount for uid, amount in (await _charged(pool, messages)).items()},
    }
    expected = {
        "receipts": counted.connector["deliver_sm_count"] + counted.connector["data_sm_count"],
        "messages taken": counted.connector["submit_sm_count"] - _other_parts(journal, last),
        **{f"spent by {uid}": amount.quantize(_CENT) for uid, amount in spent.items()},
    }
    return Check("undisturbed: Jasmin's counters and billing-service's").compare(expected, found)


def _other_parts(journal: Journal, last: Sequence[Submission]) -> int:
    """How many submissions were taken that are not the last part of theirs."""
    taken = sum(each.status == "ESME_ROK" for each in journal.submissions)
    return taken - sum(each.status == "ESME_ROK" for each in last)


async def _charged(pool: asyncpg.Pool, messages: Sequence[Sms]) -> dict[str, Decimal]:
    """What each user was charged: at once by Jasmin, and later by bills that were recorded."""
    early = RATE * EARLY_PERCENT / 100
    charged = {
        account.uid: sum(
            (early * sms.parts for sms in messages if sms.account is account), Decimal(0)
        )
        for account in ACCOUNTS
    }
    for row in await pool.fetch(
        "SELECT a.jasmin_uid AS uid, sum(e.amount) AS amount FROM billing_event e"
        " JOIN accounts a ON a.id = e.account_id GROUP BY 1"
    ):
        charged[row["uid"]] += row["amount"]
    return {uid: amount.quantize(_CENT) for uid, amount in charged.items()}
