"""Compares the database with what was asked for, and with what Jasmin published."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from bench.gateway.captured import audit_captured
from bench.gateway.expectation import asked_for, published
from bench.gateway.money import audit_money
from bench.gateway.seen import Seen
from bench.gateway.story import normalised
from bench.lab.check import Check

_CDRS: Final = """
    SELECT message_id, status, smpp_msgid, error_code, delivery_at, refunded_amount,
           dlr_payload IS NOT NULL AS is_detailed
    FROM sms_cdr
"""
_PARKED: Final = "SELECT stream, message_id, operator_ids FROM billing_parked"


async def audit(pool: asyncpg.Pool, seen: Seen) -> list[Check]:
    """Compare everything; the checks that were made."""
    rows = {row["message_id"]: row for row in await pool.fetch(_CDRS)}
    parked = await pool.fetch(_PARKED)
    return [
        _losses(seen),
        _queued(seen),
        _written(seen, rows),
        _asked_for(seen, rows),
        _published(seen, rows),
        *(await audit_captured(pool, seen) if seen.books.captures else ()),
        *await audit_money(pool, seen),
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


def _queued(seen: Seen) -> Check:
    """Of what it refused nothing was queued, and nothing a second time when it was retried."""
    check = Check("Jasmin queued what was sent, each message once, and nothing else")
    queued: set[str] = set()
    for publication in seen.tap.queued():
        check.compared += 1
        story = seen.stories.get(publication.message_id)
        is_sent = story is not None and story.sms.destination == publication.number
        if not is_sent or publication.message_id in queued:
            check.differ(f"{publication.message_id} to {publication.number}")
        queued.add(publication.message_id)
    return check


def _written(seen: Seen, rows: Mapping[str, asyncpg.Record]) -> Check:
    found = dict.fromkeys(rows, 1)
    return Check("CDRs: one for each message").compare(dict.fromkeys(seen.written, 1), found)


def _asked_for(seen: Seen, rows: Mapping[str, asyncpg.Record]) -> Check:
    """Of messages of which nothing was lost, whatever was killed meanwhile."""
    check = Check("CDRs: the outcome that the number asks for; queued, where Jasmin drops it")
    broken = {story.sms.message_id for story, _, _ in seen.lost()}
    for story, row in seen.with_rows(rows):
        if story.sms.message_id in broken:
            continue
        check.compared += 1
        status = asked_for(story.sms)
        if row["status"] != status:
            check.differ(story.complaint("status", status, row["status"]))
    return check


def _published(seen: Seen, rows: Mapping[str, asyncpg.Record]) -> Check:
    check = Check("CDRs: status, smpp_msgid, error_code, delivery_at, refund, as published")
    for story, row in seen.with_rows(rows):
        check.compared += 1
        expected = published(story)
        refund = seen.books.refund(story.sms, expected) or None
        for field, allowed in (
            ("status", {expected.status}),
            ("smpp_msgid", expected.smpp_msgids),
            ("error_code", expected.error_codes),
            ("delivery_at", expected.delivery_ats),
            ("is_detailed", {bool(story.linked)}),
            ("refunded_amount", {refund}),
        ):
            if row[field] not in allowed:
                check.differ(story.complaint(field, allowed, row[field]))
    return check


def _left_parked(seen: Seen, rows: Sequence[asyncpg.Record]) -> Check:
    """What cannot be joined waits: events of messages of which nobody has a CDR."""
    check = Check("parked: nothing but events of messages that have no CDR")
    check.compared = len(rows)
    unknown = {each.message_id for each in seen.tap.answers()} - seen.written.keys()
    settled = {
        normalised(receipt.headers["dlr_id"])
        for story in seen.written.values()
        for receipt in story.joinable
    }
    for row in rows:
        is_known = row["message_id"] is not None and row["message_id"] not in unknown
        if is_known or settled & set(row["operator_ids"] or ()):
            check.differ(f"{row['stream']}: {row['message_id'] or row['operator_ids']}")
    for message_id in unknown - {row["message_id"] for row in rows}:
        check.differ(f"the answer to {message_id}, which has no CDR, is not there")
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
