"""Nothing is lost and nothing comes twice, whoever dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.gateway import Gateway, Publication, bill, dlr
from tests.support.service import Service, eventually

EVENTS = 4_000
# So small that the broker always has more than the workers may hold.
SMALL_WINDOW = {
    "DLR_BATCH_SIZE": "100",
    "DLR_PREFETCH": "200",
    "BILL_BATCH_SIZE": "100",
    "BILL_PREFETCH": "200",
}
QUEUES = ("billing_service.dlr", "billing_service.submit_sm_resp")


@pytest.fixture
async def messages(gateway: Gateway) -> list[str]:
    """CDRs for half as many messages as events: a receipt and a bill for each."""
    messages = [str(uuid4()) for _ in range(EVENTS // 2)]
    await gateway.add_cdrs(messages)
    return messages


def publications(messages: list[str]) -> list[Publication]:
    return [p for m in messages for p in (bill(m, bid=f"bill-{m}"), dlr(m, "DELIVRD"))]


async def publishing_onto_a_backlog(
    service: Service, gateway: Gateway, messages: list[str]
) -> asyncio.Task[None]:
    """Publish half of the events before any is settled; go on with the others meanwhile."""
    events = publications(messages)
    with service.standing_still():
        await gateway.publish(events[: EVENTS // 2])
    return asyncio.create_task(gateway.publish(events[EVENTS // 2 :]))


def assert_nothing_was_dropped(service: Service) -> None:
    """All that reached a worker was acknowledged by it."""
    drained = service.events("drained")
    assert len(drained) == 2 * len(service.worker_pids)
    assert [line["unacknowledged"] for line in drained] == [0] * len(drained)


async def halfway(service: Service) -> None:
    """Wait until a good part has been settled and a good part has not."""

    async def some() -> bool:
        return await service.consumed() > EVENTS // 20

    await eventually(some)


async def all_applied(gateway: Gateway) -> bool:
    delivered = await gateway.count(
        "sms_cdr", "status = 'delivered' AND finalized_at IS NOT NULL AND confirmed_amount = 0.01"
    )
    return delivered == EVENTS // 2 and await gateway.count("billing_event") == EVENTS // 2


async def test_killed_worker_loses_nothing(start, gateway: Gateway, messages: list[str]) -> None:
    service = await start(DLR_BATCH_SIZE="200", BILL_BATCH_SIZE="200").ready()
    publishing = asyncio.create_task(gateway.publish(publications(messages)))
    await halfway(service)
    victim = service.worker_pids[1]
    os.kill(victim, signal.SIGKILL)
    await publishing
    await eventually(lambda: all_applied(gateway))
    await service.ready()
    assert service.worker_pids[1] != victim
    assert await service.metric("billing_worker_restarts_total") == 1
    assert await service.metric("billing_workers") == 2

    async def counted() -> bool:
        # The victim may have died before it had counted; the others count after they commit.
        return await service.metric("billing_events_total") >= EVENTS - 2 * 2 * 200

    await eventually(counted)
    assert await service.stop() == 0
    for queue in QUEUES:
        assert await gateway.waiting(queue) == 0
        assert await gateway.waiting(f"{queue}.dead") == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_drain_under_load_leaves_nothing_to_deliver_again(
    start, gateway: Gateway, messages: list[str], signum: signal.Signals
) -> None:
    service = await start(**SMALL_WINDOW, HANG_TIMEOUT="300").ready()
    publishing = await publishing_onto_a_backlog(service, gateway, messages)
    await halfway(service)
    assert await service.stop(signum) == 0
    await publishing
    left = [message for queue in QUEUES for message in await gateway.take(queue)]
    assert left, "it was stopped too late to prove anything"
    assert [m.routing_key for m in left if m.redelivered] == []
    settled = await gateway.count("billing_event") + await gateway.count(
        "sms_cdr", "status = 'delivered'"
    )
    assert settled + len(left) == EVENTS
    assert_nothing_was_dropped(service)


async def test_ctrl_c_in_a_terminal_drains(start, gateway: Gateway, messages: list[str]) -> None:
    """It reaches every process of the group at once, workers included."""
    service = await start(**SMALL_WINDOW, HANG_TIMEOUT="300").ready()
    publishing = await publishing_onto_a_backlog(service, gateway, messages)
    await halfway(service)
    os.killpg(service.pid, signal.SIGINT)
    assert await service.ended() == 0
    await publishing
    left = [message for queue in QUEUES for message in await gateway.take(queue)]
    assert [m.routing_key for m in left if m.redelivered] == []
    assert "Traceback" not in service.log_text
    assert_nothing_was_dropped(service)


@pytest.mark.parametrize("starting", [True, False], ids=["while-starting", "while-running"])
async def test_workers_end_when_their_supervisor_is_killed(
    start, gateway: Gateway, starting: bool
) -> None:
    service = start()
    if starting:
        await eventually(lambda: told(service, "worker started"))
    else:
        await service.ready()
    os.kill(service.pid, signal.SIGKILL)
    await eventually(lambda: alive(service.worker_pids.values()), [])


async def told(service: Service, event: str) -> bool:
    return bool(service.events(event))


async def alive(pids: Iterable[int]) -> list[int]:
    """Which of these processes still run (their new parent may not have noticed their end)."""

    def state(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return "gone"

    return [pid for pid in pids if state(pid) not in {"gone", "Z"}]
