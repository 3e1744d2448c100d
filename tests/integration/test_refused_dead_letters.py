"""Dead letters that the broker does not take at once: held, and told of; never lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest

from bench.stack import Stack, StackError
from tests.support.gateway import Gateway, dlr
from tests.support.service import Service, eventually

DEAD = "billing_service.dlr.dead"
BAD = dlr("bad", "DELIVRD")._replace(body=b"rubbish")


@pytest.fixture
def policy(stack: Stack, vhost: str) -> Callable[..., None]:
    """A function that sets a policy on the dead queues, or takes it off; soon it is in effect."""

    def set_policy(**definition: object) -> None:
        path = f"/policies/{vhost}/dead"
        if definition:
            pattern = r"\.dead$"
            stack.rabbitmq.api("PUT", path, {"pattern": pattern, "definition": definition})
        else:
            stack.rabbitmq.api("DELETE", path)

    return set_policy


def holding(service: Service) -> list[dict[str, object]]:
    what = "does not take dead letters; their batch is held; trying again"
    return [line for line in service.lines if what in line["event"]]


async def is_holding(service: Service) -> bool:
    return bool(holding(service))


async def test_batch_is_held_while_the_dead_queue_rejects(
    start, gateway: Gateway, stack: Stack, vhost: str, policy: Callable[..., None]
) -> None:
    service = await start(WORKERS="1", DLR_FLUSH_MS="200").ready()
    policy(**{"max-length": 1, "overflow": "reject-publish"})

    async def limited() -> bool:
        queue = stack.rabbitmq.api("GET", f"/queues/{vhost}/{DEAD}")
        return bool(queue.get("effective_policy_definition"))

    await eventually(limited)
    bad = [BAD._replace(message_id=message_id) for message_id in ("same", "same", "", "x", "y")]
    await gateway.publish([BAD])
    await eventually(lambda: gateway.waiting(DEAD), 1)
    good = [str(uuid4()) for _ in range(10)]
    await gateway.add_cdrs(good)
    await gateway.publish([*bad, *(dlr(m, "DELIVRD") for m in good)])
    await eventually(lambda: is_holding(service))
    await eventually(gateway.statuses, dict.fromkeys(good, "delivered"))
    assert "it is full" in str(holding(service)[0]["error"])
    assert await gateway.waiting(DEAD) <= len(bad)  # the limit of a quorum queue is a soft one
    policy()
    await eventually(lambda: gateway.waiting(DEAD), 1 + len(bad))
    await eventually(
        lambda: service.metric("billing_dead_letters_total", stream="dlr"), 1 + len(bad)
    )
    assert await service.metric("billing_redelivered_total") == 0
    assert len(service.events("consuming")) == 1
    assert await service.stop() == 0
    assert await gateway.waiting("billing_service.dlr") == 0


async def test_dead_queue_that_is_gone_is_declared_again(
    start, gateway: Gateway, stack: Stack, vhost: str
) -> None:
    service = await start(WORKERS="1", DLR_FLUSH_MS="200").ready()
    stack.rabbitmq.api("DELETE", f"/queues/{vhost}/{DEAD}")
    # With the same id, which the library cannot tell apart when both are returned.
    await gateway.publish([BAD._replace(message_id="same")] * 3)

    async def buried() -> int:
        try:
            return int(stack.rabbitmq.api("GET", f"/queues/{vhost}/{DEAD}").get("messages", 0))
        except StackError:
            return -1

    await eventually(buried, 3)
    (line,) = holding(service)
    assert "it was gone, and has been declared again" in str(line["error"])
    assert len(service.events("consuming")) == 1
    assert await service.metric("billing_redelivered_total") == 0
    assert await service.stop() == 0
    assert await gateway.waiting("billing_service.dlr") == 0


async def test_parked_events_whose_time_is_over_hold_up_nothing_when_refused(
    start, gateway: Gateway, policy: Callable[..., None]
) -> None:
    policy(**{"max-length": 0, "overflow": "reject-publish"})
    service = await start(WORKERS="1", PARKING_TTL="2", DLR_QUEUE_TYPE="classic").ready()
    await gateway.publish([dlr("never", "DELIVRD")])

    async def refused() -> bool:
        return bool(service.events(f"{DEAD} does not take dead letters"))

    await eventually(refused)
    # Applied by the same sweeps.
    await gateway.publish([dlr("late", "DELIVRD")])
    await eventually(lambda: gateway.count("billing_parked"), 2)
    await gateway.add_cdrs(["late"])
    await eventually(gateway.statuses, {"late": "delivered"})
    assert service.events("sweep failed; trying again") == []
    policy()
    await eventually(lambda: gateway.waiting(DEAD), 1)
    await eventually(lambda: gateway.count("billing_parked"), 0)
    assert await service.stop() == 0


async def test_confirm_that_an_alarm_delays_is_waited_for(
    start, gateway: Gateway, stack: Stack
) -> None:
    """Published once more, it would be there twice."""
    service = await start(WORKERS="1").ready()
    assert await service.stop() == 0
    await gateway.publish([BAD])
    await asyncio.to_thread(stack.rabbitmq.ctl, "set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        service = await start(WORKERS="1").ready()

        async def told() -> bool:
            return any("RabbitMQ does not confirm" in line["event"] for line in service.lines)

        await eventually(told)
        assert (await service.get("/healthz")).status_code == 200
    finally:
        await asyncio.to_thread(stack.rabbitmq.ctl, "set_vm_memory_high_watermark", "0.4")
    await eventually(lambda: gateway.waiting(DEAD), 1)
    assert len(service.events("consuming")) == 1
    assert await service.stop() == 0
    assert await gateway.waiting(DEAD) == 1
    assert await gateway.waiting("billing_service.dlr") == 0
