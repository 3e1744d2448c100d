"""CDRs from what Jasmin gives to its connectors, where no gateway writes them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from bench.stack import Stack
from service.broker.topology import SUBMIT
from service.events.message import Message
from tests.integration.test_capture import (
    BILLS,
    EXPECTED,
    in_order,
    statuses_by_operator_id,
    three_times_over,
)
from tests.support.gateway import ACCOUNT, Gateway, Publication, capture, dlr, reasons, submissions
from tests.support.mutations import genuine
from tests.support.pickles import bombs, executing, hostile, laborious, with_bill
from tests.support.seed import SEED
from tests.support.service import TIMEOUT, eventually, run_to_end

OPENING = Decimal(100)
PARTS = Decimal(16 + 3)  # of all messages
HALF = Decimal("0.01")  # of a part's price: charged at once; the other half when it is taken
REFUSED_ID = next(p.message_id for p in capture() if p.body == b"ESME_RINVDSTADR")
PREFIXES = ("dlr.", "bill_request.", "submit.sm.smsc")
HOSTILE = 500
LABORIOUS = 300  # some 20 s of work
MAX_BODY = 65_536
MAX_BILL = 8000  # longer headers cannot be read at all


@pytest.mark.parametrize("arrange", [in_order, three_times_over])
async def test_the_whole_capture_makes_its_own_cdrs(
    start, gateway: Gateway, environment: dict[str, str], arrange: Callable[..., Any]
) -> None:
    await gateway.add_balance(OPENING)
    assert run_to_end("reconcile", environment=environment).returncode == 0
    service = await start(CAPTURE_ENABLED="true", WORKERS="3").ready()
    published = arrange(capture())
    await gateway.publish(published)
    ours = sum(p.routing_key.startswith(PREFIXES) for p in published)
    await eventually(service.consumed, ours)
    await eventually(lambda: gateway.count("billing_parked"), 0)
    await eventually(lambda: gateway.count("billing_refund", "booked_at IS NOT NULL"), 1)
    assert await service.stop() == 0
    assert await statuses_by_operator_id(gateway) == EXPECTED
    assert await gateway.count("billing_event") == BILLS
    rows = await gateway.database.fetch("SELECT * FROM sms_cdr")
    assert {row["message_id"]: row["parts"] for row in rows} == submissions()
    for row in rows:
        assert row["price"] == row["parts"] * 2 * HALF
        assert (row["account_id"], row["currency"]) == (ACCOUNT, "EUR")
        assert (row["connector_id"], row["sender"]) == ("smsc1", "Acme")
        assert row["msisdn"].startswith("9989")
        assert row["submit_at"].isoformat().startswith("2026-11-23T10:02:")
        # What the operator refused was charged at once, and no more than that comes back.
        refunded = HALF if row["message_id"] == REFUSED_ID else None
        assert row["refunded_amount"] == refunded
    assert await gateway.count("billing_submission", "text IS NULL") == len(rows)
    assert await balance(gateway) == OPENING + HALF
    assert await gateway.waiting(SUBMIT.queue) == await gateway.waiting(SUBMIT.dead_queue) == 0
    reconciled = run_to_end("reconcile", environment=environment)
    assert reconciled.returncode == 0, reconciled.stdout


async def test_in_charge_mode_debit_jasmins_charges_are_taken_and_given_back(
    start, gateway: Gateway, environment: dict[str, str]
) -> None:
    environment |= {"BILLING_BILL_CHARGE_MODE": "debit", "BILLING_CAPTURE_ENABLED": "true"}
    await gateway.add_balance(OPENING)
    assert run_to_end("reconcile", environment=environment).returncode == 0
    service = await start().ready()
    await gateway.publish(three_times_over(capture()))
    taken_at_once, taken_later = PARTS * HALF, (PARTS - 1) * HALF
    expected = OPENING - taken_at_once - taken_later + HALF
    await eventually(lambda: balance(gateway), expected)
    await eventually(lambda: statuses_by_operator_id(gateway), EXPECTED)
    assert await service.stop() == 0
    assert await balance(gateway) == expected
    assert await gateway.count("balance_ledger") == len(submissions()) + BILLS + 1
    reconciled = run_to_end("reconcile", environment=environment)
    assert reconciled.returncode == 0, reconciled.stdout


async def test_a_bill_of_two_messages_is_not_taken_for_both(start, gateway: Gateway) -> None:
    await gateway.add_balance(OPENING)
    service = await start(CAPTURE_ENABLED="true", BILL_CHARGE_MODE="debit").ready()
    [one, *_] = taken()
    await gateway.publish([one, one._replace(message_id="another")])
    await eventually(lambda: gateway.waiting(SUBMIT.dead_queue), 1)
    [why] = reasons(await gateway.take(SUBMIT.dead_queue))
    assert "its bill id is that of another message" in why
    assert await gateway.count("sms_cdr") == await gateway.count("balance_ledger") == 1
    assert await balance(gateway) == OPENING - HALF
    assert await service.stop() == 0


async def test_what_messages_said_is_forgotten_in_time_and_what_they_cost_is_not(
    start, gateway: Gateway
) -> None:
    kept = "SELECT message_id, charged FROM billing_submission ORDER BY message_id"
    service = await start(CAPTURE_ENABLED="true", CAPTURE_TEXT="true").ready()
    await gateway.publish(taken())
    await eventually(lambda: gateway.count("billing_submission", "text > ''"), len(submissions()))
    assert await service.stop() == 0
    charges = await gateway.database.fetch(kept)
    await gateway.database.execute(
        "UPDATE billing_submission SET captured_at = captured_at - interval '31 d'"
    )
    service = await start(CAPTURE_ENABLED="true", CAPTURE_TEXT="true").ready()
    await eventually(lambda: gateway.count("billing_submission", "text IS NOT NULL"), 0)
    assert await gateway.database.fetch(kept) == charges
    assert await service.stop() == 0


async def test_what_a_gateway_has_written_stays_alone(start, gateway: Gateway) -> None:
    ids = sorted(submissions())
    await gateway.add_cdrs(ids[:5], price=Decimal(7))
    before = await gateway.database.fetch("SELECT * FROM sms_cdr ORDER BY message_id")
    service = await start(CAPTURE_ENABLED="true", CAPTURE_TEXT="true").ready()
    await gateway.publish(taken())
    await eventually(lambda: gateway.count("sms_cdr"), len(ids))
    await eventually(service.consumed, len(ids))
    rows = await gateway.database.fetch("SELECT * FROM sms_cdr ORDER BY message_id")
    assert rows[:5] == before
    assert {row["status"] for row in rows[5:]} == {"queued"}
    texts = await gateway.database.fetch("SELECT text FROM billing_submission")
    assert len(texts) == len(ids) - 5
    assert all(text.startswith(("hello", "xxx")) for (text,) in texts)
    assert await service.stop() == 0
    for secret in ("hello", "99890"):
        assert secret not in service.log_text


async def test_one_that_came_before_its_account_waits_and_a_replay_keeps_its_connector(
    start, gateway: Gateway, environment: dict[str, str]
) -> None:
    environment |= {"BILLING_CAPTURE_ENABLED": "true", "BILLING_PARKING_PART_GRACE": "0.5"}
    await gateway.database.execute("DELETE FROM accounts")
    first, second, *_ = taken()
    service = await start(PARKING_TTL="1").ready()
    await gateway.publish([first])
    await eventually(lambda: gateway.waiting(SUBMIT.dead_queue), 1)
    assert await service.stop() == 0
    service = await start().ready()
    await gateway.publish([second])
    await eventually(lambda: gateway.count("billing_parked", "stream = 'submit'"), 1)
    assert await gateway.count("sms_cdr") == 0
    await gateway.add_account()
    replayed = run_to_end("dlq", "replay", "--stream", "submit", environment=environment)
    assert "1 dead letter replayed" in replayed.stdout, replayed.stderr
    await eventually(lambda: gateway.count("sms_cdr", "connector_id = 'smsc1'"), 2)
    await eventually(lambda: gateway.count("billing_parked"), 0)
    assert await service.stop() == 0


async def test_hostile_pickles_are_dead_letters_and_the_genuine_ones_between_are_settled(
    start, gateway: Gateway, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    pickles = [p for p in chain(executing(canary).values(), bombs().values()) if len(p) < MAX_BODY]
    attacks = [publication(body=octets) for octets in pickles]
    attacks += [publication(bill=octets) for octets in pickles if len(octets) < MAX_BILL]
    mutants = [publish(message) for message in hostile(HOSTILE, SEED) if can_be_sent(message)]
    big = publication(body=bytes(10_000_000))
    genuine_ones = taken()
    service = await start(CAPTURE_ENABLED="true", CAPTURE_TEXT="true", LOG_LEVEL="DEBUG").ready()
    workers = service.worker_pids
    mixed = [p for pair in zip_longest([big, *attacks], genuine_ones) for p in pair if p]
    await gateway.publish([*mixed, *mutants])
    count = len(mixed) + len(mutants)
    await eventually(service.consumed, count)
    written = await gateway.statuses()
    assert written.keys() >= {p.message_id for p in genuine_ones}
    dead = await gateway.take(SUBMIT.dead_queue)
    assert len(dead) >= len(attacks) + 1
    ours = [why for letter, why in zip(dead, reasons(dead), strict=True) if letter.message_id == ID]
    assert len(ours) == len(attacks) + 1
    assert all(ours)
    assert not canary.exists()
    assert service.worker_pids == workers
    assert service.events("unexpected error") == []
    assert await gateway.waiting(SUBMIT.queue) == 0
    assert await service.stop() == 0


async def test_what_is_hard_to_read_costs_neither_the_session_nor_the_sweep(
    start, gateway: Gateway
) -> None:
    await gateway.database.execute("DELETE FROM accounts")
    service = await start(WORKERS="1", CAPTURE_ENABLED="true").ready()
    assert await service.stop() == 0
    [one, *_] = taken()
    hard = [one._replace(message_id=f"h{n}", body=laborious()) for n in range(LABORIOUS)]
    await gateway.publish(hard)
    service = await start(WORKERS="1", CAPTURE_ENABLED="true").ready()
    await eventually(lambda: gateway.count("billing_parked"), LABORIOUS, timeout=1.5 * TIMEOUT)
    await gateway.add_account()
    await eventually(lambda: gateway.count("sms_cdr"), LABORIOUS, timeout=1.5 * TIMEOUT)
    assert len(service.events("consuming")) == 1
    assert service.events("sweep failed; trying again") == []
    assert await service.stop() == 0


async def test_two_workers_make_one_cdr(start, gateway: Gateway) -> None:
    service = await start(CAPTURE_ENABLED="true", WORKERS="4", CAPTURE_FLUSH_MS="1").ready()
    [one, *_] = taken()
    await gateway.publish([one] * 400)
    await eventually(service.consumed, 400)
    assert await gateway.count("sms_cdr") == 1
    assert await service.metric("billing_events_total", stream="submit", outcome="applied") == 1
    assert await service.metric("billing_events_total", stream="submit", outcome="unchanged") == 399
    assert await service.stop() == 0


@pytest.fixture
def bindings(stack: Stack, vhost: str) -> Callable[[], Awaitable[int]]:
    """A function that counts what is bound to the queue of submissions, besides its own name."""

    async def bindings() -> int:
        queue = f"/queues/{quote(vhost, safe='')}/{SUBMIT.queue}/bindings"
        found = await asyncio.to_thread(stack.rabbitmq.api, "GET", queue)
        return sum(bool(binding["source"]) for binding in found)

    return bindings


async def test_switched_off_its_queue_takes_no_more(
    start, gateway: Gateway, bindings: Callable[[], Awaitable[int]]
) -> None:
    service = await start(CAPTURE_ENABLED="true").ready()
    assert await service.stop() == 0
    await gateway.publish(taken()[:3])
    assert await gateway.waiting(SUBMIT.queue) == 3
    service = await start(WORKERS="1").ready()
    [warning] = [line for line in service.lines if "left behind" in line["event"]]
    assert (warning["level"], warning["messages"]) == ("warning", 3)
    assert SUBMIT.queue not in service.events("consuming")[0]["queues"]
    await eventually(bindings, 0)
    await gateway.publish([*taken()[3:], dlr("m1", "DELIVRD")])
    await eventually(service.consumed, 1)
    assert await gateway.waiting(SUBMIT.queue) == 3
    assert await service.stop() == 0
    service = await start(CAPTURE_ENABLED="true").ready()
    await eventually(lambda: gateway.count("sms_cdr"), 3)
    assert await service.stop() == 0


async def test_switched_off_while_it_runs_its_figures_go_on(
    start, gateway: Gateway, bindings: Callable[[], Awaitable[int]], tmp_path: Path
) -> None:
    file = tmp_path / "billing.toml"
    file.write_text("[capture]\nenabled = true\n")
    await gateway.database.execute("DELETE FROM accounts")
    service = await start(CONFIG=str(file), WORKERS="1").ready()
    await gateway.publish(taken()[:3])

    async def parked() -> float:
        return await service.metric("billing_parked", stream="submit")

    async def left() -> float:
        return await service.metric("billing_queue_messages", queue=SUBMIT.queue)

    await eventually(parked, 3)
    file.write_text("[capture]\nenabled = false\n")
    os.kill(service.pid, signal.SIGHUP)

    async def reloaded() -> int:
        return len(service.events("reloaded"))

    await eventually(reloaded, 1)
    await gateway.database.execute("DELETE FROM billing_parked")
    await eventually(parked, 0)
    assert await service.metric("billing_parked_oldest_seconds", stream="submit") == 0
    await eventually(bindings, 0)
    await gateway.publish_raw(SUBMIT.queue, b"left behind", exchange="")
    await eventually(left, 1)
    await gateway.take(SUBMIT.queue)
    await eventually(left, 0)
    assert await service.stop() == 0


def taken() -> list[Publication]:
    """Return the submissions of the capture."""
    return [p for p in capture() if p.routing_key.startswith("submit.sm.smsc")]


ID = "hostile"


def publication(*, body: bytes | None = None, bill: bytes | None = None) -> Publication:
    """Return a genuine submission with another body or bill."""
    message = genuine("submit")[0]
    if bill is not None:
        message = with_bill(message, bill)
    return publish(message)._replace(body=message.body if body is None else body, message_id=ID)


def publish(message: Message) -> Publication:
    return Publication(
        "messaging", "submit.sm.smsc1", message.body, message.message_id, message.headers
    )


def can_be_sent(message: Message) -> bool:
    """Whether the client library writes this as it is, and the broker takes it."""
    values = [message.message_id or "", *message.headers.values()]
    return all(isinstance(each, str | bytearray) and len(each) < 2000 for each in values) and (
        len((message.message_id or "").encode()) < 256
    )


async def balance(gateway: Gateway) -> Decimal:
    return Decimal(await gateway.database.fetchval("SELECT balance FROM account_balances"))
