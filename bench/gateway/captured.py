"""Compares captured CDRs, field by field, with what was sent and with what the operator saw."""

from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from bench.gateway.cdrs import CONNECTOR
from bench.gateway.seen import Seen
from bench.gateway.sms import Sms
from bench.lab.check import Check

_CDRS: Final = """
    SELECT c.message_id, c.sender, c.msisdn, c.connector_id, c.account_id, c.currency, c.parts,
           c.price, c.confirmed_amount, s.charged, s.text, c.submit_at
    FROM sms_cdr c LEFT JOIN billing_submission s USING (message_id)
"""


async def audit_captured(pool: asyncpg.Pool, seen: Seen) -> list[Check]:
    """Compare what only a submission can have told; the checks that were made."""
    rows = {row["message_id"]: row for row in await pool.fetch(_CDRS)}
    return [_as_sent(seen, rows), _in_time(seen, rows), _as_submitted(seen, rows)]


def _as_sent(seen: Seen, rows: dict[str, asyncpg.Record]) -> Check:
    check = Check("captured: sender, number, connector, account, parts, price, charge, text")
    for story, row in seen.with_rows(rows):
        check.compared += 1
        for field, expected in _fields(story.sms, debits=seen.books.debits).items():
            if row[field] != expected:
                check.differ(story.complaint(field, expected, row[field]))
    return check


def _fields(sms: Sms, *, debits: bool) -> dict[str, Any]:
    return {
        "sender": sms.sender,
        "msisdn": sms.destination,
        "connector_id": CONNECTOR,
        "account_id": sms.account.id,
        "currency": "EUR",
        "parts": sms.parts,
        "price": sms.price,
        "charged": sms.charged,
        "confirmed_amount": sms.charged if debits else None,
        "text": sms.text,
    }


def _in_time(seen: Seen, rows: dict[str, asyncpg.Record]) -> Check:
    check = Check("captured: submitted after it was sent, and before it was queued")
    for story, row in seen.with_rows(rows):
        check.compared += 1
        earliest = datetime.fromtimestamp(story.sms.submitted_at, UTC)
        latest = datetime.fromtimestamp(story.queued[0].at, UTC)
        if not earliest <= row["submit_at"] <= latest:
            allowed = f"{earliest} to {latest}"
            check.differ(story.complaint("submit_at", allowed, row["submit_at"]))
    return check


def _as_submitted(seen: Seen, rows: dict[str, asyncpg.Record]) -> Check:
    check = Check("captured: sender and parts as the operator saw them")
    for story, row in seen.with_rows(rows):
        found = row["sender"] or "", 2 if story.sms.is_piece else row["parts"]
        for each in story.submissions:
            check.compared += 1
            if (each.sender, each.parts) != found:
                check.differ(story.complaint("operator", (each.sender, each.parts), found))
    return check
