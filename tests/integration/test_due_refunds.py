"""A refund that became due while the service could not read: not before what it had to read."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest

from bench.chaos.proxy import Proxy
from tests.support.gateway import Gateway, dlr
from tests.support.service import Service, eventually


@pytest.fixture
async def account(gateway: Gateway) -> None:
    await gateway.add_balance(Decimal(100))


async def note_two(gateway: Gateway, service: Service) -> tuple[str, str]:
    """Let two submissions fail for a time; return their messages."""
    better, worse = str(uuid4()), str(uuid4())
    await gateway.add_cdrs([better, worse])
    await gateway.publish(dlr(m, "ESME_RTHROTTLED") for m in (better, worse))
    await eventually(service.consumed, 2)
    assert await gateway.count("billing_refund", "booked_at IS NULL") == 2
    return better, worse


async def succeed(gateway: Gateway, message_id: str, others: int) -> None:
    """Publish that a message has been submitted, behind so many events of another one."""
    delivered = str(uuid4())
    await gateway.add_cdrs([delivered])
    await gateway.publish([dlr(delivered, "DELIVRD")] * others)
    await gateway.publish([dlr(message_id, "ESME_ROK")])


async def become_due(gateway: Gateway) -> None:
    await gateway.database.execute("UPDATE billing_refund SET due_at = now()")


async def refunds(gateway: Gateway) -> dict[str, bool]:
    """Return for each refund that is noted whether it is booked."""
    return dict(
        await gateway.database.fetch("SELECT message_id, booked_at IS NOT NULL FROM billing_refund")
    )


async def references(gateway: Gateway) -> list[str]:
    return [row["reference"] for row in await gateway.database.fetch("TABLE balance_ledger")]


async def test_a_backlog_is_read_before_what_became_due_meanwhile_is_refunded(
    start, gateway: Gateway, account
) -> None:
    service = await start(REFUND_SETTLE="600").ready()
    better, worse = await note_two(gateway, service)
    assert await service.stop() == 0
    await succeed(gateway, better, others=3_000)
    await become_due(gateway)
    service = await start(DLR_BATCH_SIZE="20", DLR_PREFETCH="40").ready()
    await eventually(lambda: refunds(gateway), {worse: True})
    assert await references(gateway) == [worse]
    assert (await gateway.statuses())[better] == "submitted"
    assert await service.metric("billing_money_total", kind="void") == 1
    assert await service.stop() == 0


async def test_what_is_held_through_an_outage_is_written_before_what_became_due_is_refunded(
    start, gateway: Gateway, account, database_link: Proxy
) -> None:
    service = await start(WORKERS="1", REFUND_SETTLE="600", DLR_BATCH_SIZE="10").ready()
    better, worse = await note_two(gateway, service)
    database_link.refusing = True
    database_link.cut()
    await succeed(gateway, better, others=1_500)

    async def held() -> float:
        return await service.metric("billing_unacknowledged", stream="dlr")

    await eventually(held, 1_501)
    await eventually(lambda: service.metric("billing_circuit_open"), 1)
    await become_due(gateway)
    database_link.refusing = False
    await eventually(lambda: refunds(gateway), {worse: True})
    assert await references(gateway) == [worse]
    assert (await gateway.statuses())[better] == "submitted"
    assert await service.metric("billing_redelivered_total") == 0
    assert await service.stop() == 0
