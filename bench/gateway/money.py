"""Compares bills, ledger and balances with what Jasmin charged and what must come back."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Final
from uuid import UUID

import asyncpg

from bench.gateway.cdrs import OPENING
from bench.gateway.expectation import published
from bench.gateway.seen import Seen
from bench.gateway.sms import ACCOUNTS
from bench.gateway.tap import Publication, Tap
from bench.lab.check import Check

# A charge goes by its message, where it is known to be of one.
_LEDGER: Final = """
    SELECT coalesce(e.message_id, l.reference) AS reference, l.account_id,
           coalesce(sum(l.amount) FILTER (WHERE direction = 'debit'), 0) AS debits,
           coalesce(sum(l.amount) FILTER (WHERE direction = 'credit'), 0) AS credits,
           count(*) AS entries
    FROM balance_ledger l LEFT JOIN billing_event e ON e.ledger_id = l.id GROUP BY 1, 2
"""
_BILLS: Final = """
    SELECT coalesce(e.message_id, e.bid) AS reference, a.jasmin_uid, sum(e.amount) AS amount,
           count(*) AS events
    FROM billing_event e JOIN accounts a ON a.id = e.account_id GROUP BY 1, 2
"""
_MICRO: Final = Decimal("0.000001")
_IDS: Final = {account.uid: account.id for account in ACCOUNTS}

Entries = dict[tuple[str, UUID], tuple[Decimal, Decimal, int]]
"""Debits, credits and how many entries there are, by reference and account."""


async def audit_money(pool: asyncpg.Pool, seen: Seen) -> list[Check]:
    """Compare everything that moves money; the checks that were made."""
    ledger = {
        (row["reference"], row["account_id"]): (row["debits"], row["credits"], row["entries"])
        for row in await pool.fetch(_LEDGER)
    }
    balances = await pool.fetch("SELECT account_id, balance FROM account_balances")
    expected = _entries(seen)
    return [
        Check("ledger: each debit and each refund once, and no other entry").compare(
            expected, ledger
        ),
        _balances(expected, {row["account_id"]: row["balance"] for row in balances}),
        _recorded(seen, await pool.fetch(_BILLS)),
        _billed(seen),
    ]


def _entries(seen: Seen) -> Entries:
    """Return the ledger that there must be."""
    entries: Entries = {}
    for message_id, story in seen.written.items():
        debit = seen.books.debited(story.sms)
        credit = seen.books.refund(story.sms, published(story))
        if count := (debit > 0) + (credit > 0):
            entries[message_id, story.sms.account.id] = debit, credit, count
    for bill in seen.tap.bills() if seen.books.debits else ():
        reference = bill.message_id, _IDS[bill.headers["user-id"]]
        entries[reference] = _amount(bill).quantize(_MICRO), Decimal(0), 1
    return entries


def _balances(entries: Entries, found: Mapping[UUID, Decimal]) -> Check:
    expected = dict.fromkeys(_IDS.values(), OPENING)
    for (_, account), (debits, credits_, _) in entries.items():
        expected[account] += credits_ - debits
    return Check("balances: opening, less debits, plus refunds").compare(expected, found)


def _recorded(seen: Seen, rows: Sequence[asyncpg.Record]) -> Check:
    """Each one, and where it is debited what Jasmin charged at once, as of its message."""
    expected = {
        bill.message_id: (bill.headers["user-id"], _amount(bill), 1) for bill in seen.tap.bills()
    }
    if seen.books.captures and seen.books.debits:
        for message_id, story in seen.written.items():
            expected[message_id] = story.sms.account.uid, story.sms.charged, 1
    found = {row["reference"]: (row["jasmin_uid"], row["amount"], row["events"]) for row in rows}
    return Check("charges: each one recorded once, of its account and amount").compare(
        expected, found
    )


def _billed(seen: Seen) -> Check:
    """Jasmin publishes the bill right after the answer that it is for."""
    check = Check("bills: one for each accepted submission that is charged then")
    answered = 0
    for answer, bill in _pairs(seen.tap):
        check.compared += 1
        answered += bill is not None
        story = seen.stories.get(answer.message_id)
        if story is None:
            check.differ(f"an answer to {answer.message_id}, which was never sent")
        elif bill is None and story.sms.bill and not seen.is_by_kill(answer.at):
            check.differ(f"none for {answer.message_id}")
        elif bill is not None:
            expected = story.sms.account.uid, story.sms.bill
            if (bill.headers["user-id"], _amount(bill).quantize(_MICRO)) != expected:
                check.differ(story.complaint("bill", expected, bill.headers))
    if answered != sum(1 for _ in seen.tap.bills()):
        check.differ("there are bills that follow no answer")
    return check


def _pairs(tap: Tap) -> Iterator[tuple[Publication, Publication | None]]:
    """Yield the answers with ESME_ROK, each with the bill that was published next, if one was."""
    told = [each for each in tap.publications if not each.routing_key.startswith("submit.sm.")]
    for first, second in pairwise([*told, None]):
        if first is not None and first.text == "ESME_ROK":
            is_bill = second is not None and second.routing_key.startswith("bill_request.")
            yield first, second if is_bill else None


def _amount(bill: Publication) -> Decimal:
    return Decimal(bill.headers["amount"])
