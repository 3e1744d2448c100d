"""Compares the database with what was asked for, and with what Jasmin published."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import asyncpg

from bench.gateway.cdrs import OPENING
from bench.gateway.expectation import asked_for, published
from bench.gateway.sms import ACCOUNTS, BILL
from bench.gateway.story import Story, normalised
from bench.gateway.tap import Publication, Tap
from bench.lab.check import Check

LOSS_SECONDS: Final = 2.0
"""How long before its end a killed Jasmin may have taken what it did not publish any more."""

_CDRS: Final = """
    SELECT message_id, status, smpp_msgid, error_code, delivery_at, refunded_amount,
           dlr_payload IS NOT NULL AS is_detailed
    FROM sms_cdr
"""
_LEDGER: Final = """
    SELECT reference,
           coalesce(sum(amount) FILTER (WHERE direction = 'debit'), 0) AS debits,
           coalesce(sum(amount) FILTER (WHERE direction = 'credit'), 0) AS credits,
           count(*) AS entries
    FROM balance_ledger GROUP BY 1
"""
_BILLS: Final = """
    SELECT e.bid, a.jasmin_uid, e.amount FROM billing_event e JOIN accounts a ON a.id = e.account_id
"""
_PARKED: Final = "SELECT stream, message_id, operator_ids FROM billing_parked"
_MICRO: Final = Decimal("0.000001")


@dataclass(frozen=True)
class Seen:
    """What a run came to, before the database is asked.

    Attributes:
        stories: of the messages that Jasmin accepted, by its message id.
        tap: all that Jasmin published.
        kills: when Jasmin was killed, and when it had bound again; POSIX seconds.
    """

    stories: Mapping[str, Story]
    tap: Tap
    kills: Sequence[tuple[float, float]]

    def lost(self) -> list[tuple[Story, str, float]]:
        """Return what Jasmin took and did not publish: of which message, what, when it came."""
        return [
            (story, what, at) for story in self.stories.values() for what, at in story.unpublished()
        ]

    def is_by_kill(self, at: float) -> bool:
        """Whether something that came then may be lost because Jasmin was killed."""
        return any(killed - LOSS_SECONDS <= at <= bound for killed, bound in self.kills)


async def audit(pool: asyncpg.Pool, seen: Seen) -> list[Check]:
    """Compare everything; the checks that were made."""
    rows = {row["message_id"]: row for row in await pool.fetch(_CDRS)}
    ledger = {row["reference"]: row for row in await pool.fetch(_LEDGER)}
    bills = {row["bid"]: row for row in await pool.fetch(_BILLS)}
    parked = await pool.fetch(_PARKED)
    balances = await pool.fetch("SELECT account_id, balance FROM account_balances")
    return [
        _losses(seen),
        _written(seen, rows),
        _asked_for(seen, rows),
        _published(seen, rows),
        _money(seen, rows, ledger),
        _balances(seen, ledger, {row["account_id"]: row["balance"] for row in balances}),
        _recorded(seen, bills),
        _billed(seen),
        _left_parked(seen, parked),
        await _logged(pool, seen),
    ]


def _losses(seen: Seen) -> Check:
    check = Check("Jasmin published all that it took, but for what a kill took from it")
    check.compared = len(seen.stories)
    for story, what, at in seen.lost():
        if not seen.is_by_kill(at):
            check.differ(f"{what} of {story.sms.message_id} ({story.sms.outcome.title}), {at:.3f}")
    return check


def _written(seen: Seen, rows: Mapping[str, asyncpg.Record]) -> Check:
    found = dict.fromkeys(rows, 1)
    return Check("CDRs: one for each message").compare(dict.fromkeys(seen.stories, 1), found)


def _asked_for(seen: Seen, rows: Mapping[str, asyncpg.Record]) -> Check:
    """Of messages of which nothing was lost, whatever was killed meanwhile."""
    check = Check("CDRs: the outcome that the number asks for")
    broken = {story.sms.message_id for story, _, _ in seen.lost()}
    for message_id, story in seen.stories.items():
        if message_id in broken:
            continue
        check.compared += 1
        status = asked_for(story.sms.code)
        if rows[message_id]["status"] != status:
            check.differ(_complaint(story, "status", status, rows[message_id]["status"]))
    return check


def _published(seen: Seen, rows: Mapping[str, asyncpg.Record]) -> Check:
    check = Check("CDRs: status, smpp_msgid, error_code, delivery_at, as published")
    for message_id, story in seen.stories.items():
        check.compared += 1
        row, expected = rows[message_id], published(story)
        for field, allowed in (
            ("status", {expected.status}),
            ("smpp_msgid", expected.smpp_msgids),
            ("error_code", expected.error_codes),
            ("delivery_at", expected.delivery_ats),
            ("is_detailed", {bool(story.linked)}),
        ):
            if row[field] not in allowed:
                check.differ(_complaint(story, field, allowed, row[field]))
    return check


def _money(
    seen: Seen, rows: Mapping[str, asyncpg.Record], ledger: Mapping[str, asyncpg.Record]
) -> Check:
    check = Check("ledger: one debit for each message, one credit for each refused one")
    check.compared = len(ledger)
    for message_id, story in seen.stories.items():
        refund = published(story).refund
        expected = (story.sms.price, refund, 2 if refund else 1, refund or None)
        entry = ledger[message_id]
        refunded = rows[message_id]["refunded_amount"]
        found = (entry["debits"], entry["credits"], entry["entries"], refunded)
        if found != expected:
            check.differ(_complaint(story, "debits, credits, entries, refund", expected, found))
    for reference in ledger.keys() - seen.stories.keys():
        check.differ(f"an entry for {reference}, which is no message")
    return check


def _balances(
    seen: Seen, ledger: Mapping[str, asyncpg.Record], found: Mapping[UUID, Decimal]
) -> Check:
    expected = {account.id: OPENING for account in ACCOUNTS}
    for story in seen.stories.values():
        expected[story.sms.account.id] += published(story).refund - story.sms.price
    check = Check("balances: opening, less prices, plus refunds").compare(expected, found)
    moved = sum((row["credits"] - row["debits"] for row in ledger.values()), Decimal(0))
    if sum(found.values()) != OPENING * len(ACCOUNTS) + moved:
        check.differ("all balances together are not what the ledger comes to")
    return check


def _recorded(seen: Seen, found: Mapping[str, asyncpg.Record]) -> Check:
    expected = {
        bill.message_id: (bill.headers["user-id"], Decimal(bill.headers["amount"]))
        for bill in seen.tap.bills()
    }
    recorded = {bid: (row["jasmin_uid"], row["amount"]) for bid, row in found.items()}
    return Check("bills: each one recorded once, of its account and amount").compare(
        expected, recorded
    )


def _billed(seen: Seen) -> Check:
    """Jasmin publishes the bill right after the answer that it is for."""
    check = Check("bills: one for each accepted submission, of its price")
    for answer, bill in _pairs(seen.tap):
        check.compared += 1
        story = seen.stories.get(answer.message_id)
        if bill is None and not seen.is_by_kill(answer.at):
            check.differ(f"none for {answer.message_id}")
        elif bill is not None and story is not None:
            expected = story.sms.account.uid, BILL * story.sms.parts
            amount = Decimal(bill.headers["amount"]).quantize(_MICRO)
            if (bill.headers["user-id"], amount) != expected:
                check.differ(_complaint(story, "bill", expected, bill.headers))
    answered = sum(bill is not None for _, bill in _pairs(seen.tap))
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


def _left_parked(seen: Seen, rows: Sequence[asyncpg.Record]) -> Check:
    """What cannot be joined waits: events of messages of which the gateway knows nothing."""
    check = Check("parked: nothing but events of messages that the gateway does not know")
    check.compared = len(rows)
    unknown = {each.message_id for each in seen.tap.answers()} - seen.stories.keys()
    settled = {
        normalised(receipt.headers["dlr_id"])
        for story in seen.stories.values()
        for receipt in story.joinable
    }
    for row in rows:
        is_known = row["message_id"] is not None and row["message_id"] not in unknown
        if is_known or settled & set(row["operator_ids"] or ()):
            check.differ(f"{row['stream']}: {row['message_id'] or row['operator_ids']}")
    for message_id in unknown - {row["message_id"] for row in rows}:
        check.differ(f"the answer to {message_id}, which the gateway does not know, is not there")
    return check


async def _logged(pool: asyncpg.Pool, seen: Seen) -> Check:
    rows = await pool.fetch(
        "SELECT details ->> 'id' AS id, status, count(*) AS copies"
        " FROM billing_receipt_log GROUP BY 1, 2"
    )
    found = {(row["id"], row["status"]): row["copies"] for row in rows}
    expected = Counter((each.headers["dlr_id"], each.text) for each in seen.tap.receipts())
    check = Check("receipts: every copy in the log")
    check.compared = expected.total()
    for key, copies in expected.items():
        if found.get(key, 0) < copies:
            check.differ(f"{key}: {copies} published, {found.get(key, 0)} logged")
    return check


def _complaint(story: Story, what: str, expected: Any, found: Any) -> str:
    sms = story.sms
    return (
        f"{sms.message_id} to {sms.destination} ({sms.outcome.title}): {what}: "
        f"expected {expected}, found {found}"
    )
