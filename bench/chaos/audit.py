"""Compares what is in the database and in the dead queues with what the model expects."""

from collections import Counter
from collections.abc import Collection
from decimal import Decimal
from typing import Final

import aio_pika
import asyncpg

from bench.chaos.model import Bill, Cdr, Expectation, expect
from bench.chaos.observer import QUEUES
from bench.chaos.plan import Event, Plan
from bench.lab.check import Check

_TAKE_SECONDS: Final = 30.0


class Audit:
    """Reads everything once all is quiet, and compares it.

    Attributes:
        checks: what was compared.
        applied: events, each counted once, of which there is a trace in the database.
        dead: how many letters are in the dead queues, copies included.
        redelivered: receipts in the log that the broker had delivered before.
        left_parked: events that wait in the database for good.
        refunds: how many messages must end with one.
        debits: how many charges must have been debited.

    Args:
        plan: what was to be published.
        confirmed: how many copies of each event the broker has taken, by number.
        debits: charge mode ``debit``.
    """

    def __init__(self, plan: Plan, confirmed: Counter[int], *, debits: bool = False) -> None:
        self.checks: list[Check] = []
        self.applied = 0
        self.dead = 0
        self.redelivered = 0
        self.left_parked = 0
        self._buried = 0
        self._plan = plan
        self._published: Collection[Event] = [plan.events[number] for number in confirmed]
        copies = (plan.events[number] for number in confirmed.elements())
        self._expected: Expectation = expect(plan, copies, debits=debits)
        self.refunds = len(self._expected.refunds)
        self.debits = sum(bill.debited is not None for bill in self._expected.bills.values())
        self._traces: set[str | tuple[str, str]] = set()

    async def run(self, connection: asyncpg.Connection, url: str) -> None:
        """Compare everything; takes the letters out of the dead queues."""
        await self._statuses(connection)
        await self._bills(connection)
        await self._links(connection)
        await self._receipts(connection)
        await self._debits(connection)
        await self._refunds(connection)
        await self._balances(connection)
        await self._parking(connection)
        await self._dead_letters(url)
        self._sum()

    def _check(self, what: str) -> Check:
        check = Check(what)
        self.checks.append(check)
        return check

    def _sum(self) -> None:
        """Published = applied + dead-lettered, each event and each piece of rubbish once."""
        check = self._check("published = applied + dead-lettered")
        check.compared = len(self._published) + len(self._expected.dead)
        for event in self._published:
            if _trace(event) in self._traces:
                self.applied += 1
            else:
                check.differ(f"no trace of {event.kind} {event.key} of {event.sms.message_id}")
        if self.applied + self._buried != check.compared:
            check.differ(
                f"{check.compared} published, {self.applied} applied, {self._buried} dead-lettered"
            )

    async def _statuses(self, connection: asyncpg.Connection) -> None:
        rows = await connection.fetch(
            "SELECT message_id, status, finalized_at, confirmed_amount FROM sms_cdr"
        )
        check = self._check("CDRs: status, confirmed amount")
        found = {row["message_id"]: Cdr(row["status"], row["confirmed_amount"]) for row in rows}
        self._traces |= {key for key, cdr in found.items() if cdr.status != "queued"}
        check.compare(self._expected.cdrs, found)
        for row in rows:
            if (row["finalized_at"] is None) != (row["confirmed_amount"] is None):
                check.differ(f"{row['message_id']}: finalised without an amount, or the reverse")

    async def _bills(self, connection: asyncpg.Connection) -> None:
        rows = await connection.fetch(
            "SELECT bid, account_id, amount, confirmed, debited FROM billing_event"
        )
        found = {bid: Bill(*columns) for bid, *columns in rows}
        self._traces |= found.keys()
        self._check("billing events: account, amount, confirmed, debited").compare(
            self._expected.bills, found
        )

    async def _links(self, connection: asyncpg.Connection) -> None:
        rows = await connection.fetch(
            "SELECT smpp_msgid, message_id FROM billing_link WHERE NOT part"
        )
        found = {(row["smpp_msgid"], row["message_id"]) for row in rows}
        self._traces |= found
        self._check("operators' ids of answered submissions").compare(
            dict.fromkeys(self._expected.links, True), dict.fromkeys(found, True)
        )

    async def _receipts(self, connection: asyncpg.Connection) -> None:
        rows = await connection.fetch(
            "SELECT details ->> 'text' AS mark, count(*) AS rows,"
            " count(*) FILTER (WHERE redelivered) AS again FROM billing_receipt_log GROUP BY 1"
        )
        found = {row["mark"]: row["rows"] for row in rows}
        self._traces |= found.keys()
        self.redelivered = sum(row["again"] for row in rows)
        check = self._check("receipts: every copy in the log")
        check.compared = len(self._expected.receipts)
        for mark, copies in self._expected.receipts.items():
            if found.get(mark, 0) < copies:
                check.differ(f"{mark}: {copies} published, {found.get(mark, 0)} logged")

    async def _debits(self, connection: asyncpg.Connection) -> None:
        """Every debit of a charge is one entry; all other entries are of messages."""
        rows = await connection.fetch(
            "SELECT reference, account_id, direction, amount FROM balance_ledger"
            " WHERE reference IS NOT NULL AND reference <> ALL ($1::text[])",
            list(self._expected.cdrs),
        )
        found: dict[str, list[tuple[object, ...]]] = {}
        for reference, *entry in rows:
            found.setdefault(reference, []).append(tuple(entry))
        expected = {
            bid: [(bill.account, "debit", bill.debited)]
            for bid, bill in self._expected.bills.items()
            if bill.debited
        }
        self._check("ledger: one debit of each charge that is taken here").compare(expected, found)

    async def _refunds(self, connection: asyncpg.Connection) -> None:
        rows = await connection.fetch(
            "SELECT reference, account_id,"
            " sum(CASE direction WHEN 'credit' THEN amount ELSE -amount END) AS net,"
            " count(*) FILTER (WHERE direction = 'credit') AS credits,"
            " count(*) FILTER (WHERE direction = 'debit') AS debits"
            " FROM balance_ledger WHERE reference = ANY ($1::text[]) GROUP BY 1, 2",
            list(self._expected.cdrs),
        )
        net = {(row["reference"], row["account_id"]): row["net"] for row in rows if row["net"]}
        accounts = {sms.message_id: sms.account.id for sms in self._plan.messages}
        check = self._check("ledger: credits less debits of each message")
        check.compare(
            {(key, accounts[key]): amount for key, amount in self._expected.refunds.items()}, net
        )
        for row in rows:
            if row["credits"] > 1 or row["debits"] > row["credits"]:
                check.differ(
                    f"{row['reference']}: {row['credits']} credits, {row['debits']} debits"
                )

    async def _balances(self, connection: asyncpg.Connection) -> None:
        rows = await connection.fetch("SELECT account_id, balance FROM account_balances")
        self._check("balances").compare(
            self._expected.balances, {row["account_id"]: row["balance"] for row in rows}
        )
        entries = await connection.fetch(
            "SELECT account_id,"
            " sum(CASE direction WHEN 'credit' THEN amount ELSE -amount END) AS net"
            " FROM balance_ledger WHERE reference IS NOT NULL GROUP BY 1"
        )
        moved = {row["account_id"]: row["net"] for row in entries}
        by_ledger = {
            account.id: account.opening + moved.get(account.id, Decimal(0))
            for account in self._plan.accounts
        }
        self._check("balances: opening balance and ledger").compare(
            by_ledger, {row["account_id"]: row["balance"] for row in rows}
        )

    async def _parking(self, connection: asyncpg.Connection) -> None:
        """Only receipts for parts of long messages that Jasmin does not name may wait for good."""
        rows = await connection.fetch("SELECT message::text AS text FROM billing_parked")
        self.left_parked = len(rows)
        parts = [event.key for event in self._plan.events if event.kind == "part"]
        check = self._check("parked: nothing but receipts for unnamed parts")
        check.compared = len(rows)
        marks = set(parts)
        for row in rows:
            if not any(mark in marks for mark in _marks(row["text"])):
                check.differ(row["text"][:200])

    async def _dead_letters(self, url: str) -> None:
        found: Counter[str | None] = Counter()
        async with await aio_pika.connect(url, timeout=_TAKE_SECONDS) as connection:
            channel = await connection.channel()
            for name in QUEUES:
                queue = await channel.get_queue(f"{name}.dead")
                while (letter := await queue.get(fail=False)) is not None:
                    await letter.ack()
                    found[letter.message_id] += 1
        self.dead = found.total()
        self._buried = len(found)
        check = self._check("dead letters: all the rubbish, and nothing else")
        check.compare(dict.fromkeys(self._expected.dead, True), dict.fromkeys(found, True))


def _trace(event: Event) -> str | tuple[str, str]:
    """Return what is left of an event in the database: a row of its own, or its CDR's status."""
    if event.kind != "answer":
        return event.key
    message_id = event.sms.message_id
    return (event.key, message_id) if event.status == "ESME_ROK" else message_id


def _marks(text: str) -> list[str]:
    """Return what looks like the mark of a receipt in a parked message."""
    return [piece for piece in text.replace("\\", "").split('"') if piece.startswith("chaos-")]
