"""One message step by step, from the SMS to the settled CDR, with times."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, NamedTuple

import asyncpg
from rich.table import Table

from bench.gateway.site import Site
from bench.gateway.sms import Sms
from bench.gateway.story import Story, tell_stories
from bench.gateway.traffic import Traffic
from bench.smsc.journal import SentReceipt
from service.quantities import quantity

_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.005
_TAP_SECONDS: Final = 0.2
_CDR: Final = """
    SELECT c.sender, c.msisdn, c.connector_id, c.parts, c.price, c.currency, a.name AS account,
           c.status, c.smpp_msgid, c.error_code, c.delivery_at, b.balance,
           (SELECT count(*) FROM billing_event e
            WHERE e.account_id = c.account_id AND e.message_id IS NULL) AS bills
    FROM sms_cdr c
    JOIN accounts a ON a.id = c.account_id
    JOIN account_balances b ON b.account_id = c.account_id
    WHERE c.message_id = $1
"""
_SHOWN: Final = ("status", "smpp_msgid", "error_code", "delivery_at", "balance")


class Step(NamedTuple):
    """Something that happened.

    Attributes:
        at: when, POSIX seconds.
        where: to whom: the client, Jasmin, the operator, RabbitMQ, PostgreSQL.
        what: it was.
    """

    at: float
    where: str
    what: str


async def follow(site: Site, traffic: Traffic, sms: Sms) -> list[Step]:
    """Send a message that is delivered in two steps, and return what happened, in order.

    Nothing else may be on its way.

    Raises:
        NotAccepted: Jasmin did not take it.
    """
    await traffic.send_one(sms)
    changes = [change async for change in _watch(site.pool, sms)]
    await asyncio.sleep(_TAP_SECONDS)
    story = tell_stories([sms], site.smsc.journal, site.tap)[sms.message_id or ""]
    steps = [*_submitted(sms), *_at_operator(story), *_published(site, story), *changes]
    return sorted(steps, key=lambda step: step.at)


def show(steps: Sequence[Step]) -> Table:
    """Render steps with their times since the first."""
    table = Table(title="One message, from SMS to settled CDR", title_justify="left")
    table.add_column("ms", justify="right")
    table.add_column("where")
    table.add_column("what", overflow="fold")
    for step in steps:
        table.add_row(f"{1000 * (step.at - steps[0].at):,.0f}", step.where, step.what)
    return table


async def _watch(pool: asyncpg.Pool, sms: Sms) -> AsyncIterator[Step]:
    """Yield each state of the CDR, until it is delivered and billed."""
    seen: asyncpg.Record | None = None
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        row = await pool.fetchrow(_CDR, sms.message_id)
        if row is not None and row != seen:
            if seen is None:
                yield Step(time.time(), "PostgreSQL", _written(row))
            yield Step(time.time(), "PostgreSQL", _state(row))
            seen = row
        if row is not None and row["status"] == "delivered" and row["bills"]:
            return
        await asyncio.sleep(_POLL_SECONDS)


def _written(row: asyncpg.Record) -> str:
    parts = quantity(row["parts"], "part")
    return (
        f"new CDR: from {row['sender']} to {row['msisdn']}, {parts}, by {row['connector_id']}, "
        f"account {row['account']}, price {row['price']} {row['currency']}"
    )


def _state(row: asyncpg.Record) -> str:
    text = ", ".join(f"{name} {row[name]}" for name in _SHOWN if row[name] is not None)
    return f"CDR: {text}" + (f"; {row['bills']} bill recorded" if row["bills"] else "")


def _submitted(sms: Sms) -> Iterator[Step]:
    yield Step(sms.submitted_at, "Jasmin", f"HTTP /send to {sms.destination}")
    yield Step(sms.accepted_at, "client", f"HTTP answer: Success, {sms.message_id}")


def _at_operator(story: Story) -> Iterator[Step]:
    for each in story.submissions:
        yield Step(each.received_at, "operator", f"submit_sm to {each.destination}")
        answer = f"submit_sm_resp: {each.status}, id {each.smpp_msgid}"
        yield Step(each.answered_at or 0.0, "Jasmin", answer)
        for receipt in each.receipts:
            yield Step(receipt.sent_at or 0.0, "Jasmin", f"{receipt.command}: {_text(receipt)}")


def _text(receipt: SentReceipt) -> str:
    return (
        f"id:{receipt.smpp_msgid} stat:{receipt.stat} err:{receipt.err} "
        f"done date:{receipt.done_date}"
    )


def _published(site: Site, story: Story) -> Iterator[Step]:
    """What reached RabbitMQ. The bills are all of this message, which is alone."""
    for each in site.tap.queued():
        yield Step(each.at, "RabbitMQ", f"{each.routing_key}: {each.message_id}")
    for each in story.answers:
        link = f", smpp_msgid {each.headers['smpp_msgid']}" if each.text == "ESME_ROK" else ""
        yield Step(each.at, "RabbitMQ", f"{each.routing_key}: {each.text}{link}")
    for each in site.tap.bills():
        what = f"{each.routing_key}: {each.headers['amount']}, bid {each.message_id}"
        yield Step(each.at, "RabbitMQ", what)
    for _, each in story.receipts:
        what = f"{each.routing_key}: {each.text}, message-id {each.message_id}"
        yield Step(each.at, "RabbitMQ", what)
