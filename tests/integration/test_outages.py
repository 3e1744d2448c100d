"""The database or the broker away, hanging, or not as they were: held, and then gone on with."""

from __future__ import annotations

from urllib.parse import quote
from uuid import uuid4

import pytest

from bench.chaos.proxy import Proxy
from bench.stack import Stack
from tests.support.gateway import Gateway, bill, dlr, reasons
from tests.support.service import Service, eventually

WORKERS = 2
QUEUES = ("billing_service.dlr", "billing_service.submit_sm_resp")


def interrupt(link: Proxy) -> None:
    link.refusing = True
    link.cut()


def restore(link: Proxy) -> None:
    link.refusing = False
    link.resume()


async def publish(gateway: Gateway, count: int) -> list[str]:
    """Add CDRs, and publish a receipt and a bill for each."""
    messages = [str(uuid4()) for _ in range(count)]
    await gateway.add_cdrs(messages)
    await gateway.publish(p for m in messages for p in (bill(m, f"b-{m}"), dlr(m, "DELIVRD")))
    return messages


async def settled(gateway: Gateway) -> int:
    return await gateway.count("sms_cdr", "status = 'delivered' AND confirmed_amount = 0.01")


async def consumers(gateway: Gateway) -> int:
    return sum([await gateway.consumers(queue) for queue in QUEUES])


async def open_circuits(service: Service) -> float:
    return await service.metric("billing_circuit_open")


async def closed_circuits(service: Service) -> list[str]:
    circuits = (await service.get("/readyz")).json()["circuits"]
    return [worker for worker, state in circuits.items() if state == "closed"]


async def code(service: Service, path: str = "/readyz") -> int:
    return (await service.get(path)).status_code


@pytest.fixture
def queues(stack: Stack, vhost: str) -> Queues:
    return Queues(stack, vhost)


class Queues:
    """How many messages the broker has, by their state."""

    def __init__(self, stack: Stack, vhost: str) -> None:
        self._stack = stack
        self._vhost = vhost

    async def ready(self) -> int:
        return self._sum("messages_ready")

    async def unacknowledged(self) -> int:
        return self._sum("messages_unacknowledged")

    async def close_connections(self, name: str, expected: int) -> None:
        """Close those whose names begin like that, as an administrator would."""

        async def known() -> list[str]:
            found = self._stack.rabbitmq.api("GET", f"/vhosts/{self._vhost}/connections")
            return [
                quote(connection["name"], safe="")
                for connection in found
                if connection["client_properties"].get("connection_name", "").startswith(name)
            ]

        async def count() -> int:
            return len(await known())

        await eventually(count, expected)
        for connection in await known():
            self._stack.rabbitmq.api("DELETE", f"/connections/{connection}")

    def _sum(self, name: str) -> int:
        queues = self._stack.rabbitmq.api("GET", f"/queues/{self._vhost}")
        return sum(queue.get(name, 0) for queue in queues)


async def test_while_the_database_is_away_batches_are_held_and_nothing_is_requeued(
    start, gateway: Gateway, database_link: Proxy
) -> None:
    service = await start(DLR_BATCH_SIZE="50", DLR_PREFETCH="100").ready()
    await publish(gateway, 10)
    await eventually(lambda: settled(gateway), 10)
    interrupt(database_link)
    await publish(gateway, 500)
    await eventually(lambda: open_circuits(service), WORKERS)
    await eventually(lambda: code(service), 503)
    assert await code(service, "/healthz") == 200
    await eventually(lambda: closed_circuits(service), [])
    held = await service.metric("billing_unacknowledged", stream="dlr")
    assert held <= WORKERS * 100
    told = service.events("PostgreSQL is away; trying again")
    assert sorted(line["worker"] for line in told) == [1, 2]  # each once, however often it asks
    assert {line["server"] for line in told} == {f"127.0.0.1:{database_link.port}"}
    restore(database_link)
    await eventually(lambda: settled(gateway), 510)
    await eventually(lambda: code(service), 200)
    assert await open_circuits(service) == 0
    assert {line["worker"] for line in service.events("PostgreSQL is back")} == {1, 2}
    assert await service.metric("billing_redelivered_total") == 0
    assert await service.metric("billing_dead_letters_total") == 0
    assert await service.metric("billing_worker_restarts_total") == 0
    assert await service.stop() == 0


@pytest.mark.parametrize("how", ["refused", "silent"])
async def test_what_is_held_too_long_goes_back_to_the_broker_until_the_database_answers(
    start, gateway: Gateway, database_link: Proxy, queues: Queues, how: str
) -> None:
    service = await start(DATABASE_HOLD_LIMIT="2", DATABASE_COMMAND_TIMEOUT="1").ready()
    if how == "refused":
        interrupt(database_link)
    else:
        database_link.blackhole()
    await publish(gateway, 100)
    await eventually(lambda: consumers(gateway), 0)
    await eventually(queues.ready, 200)
    await eventually(queues.unacknowledged, 0)
    assert "a batch was held for 2 s; its messages go back to the broker" in service.log_text
    assert service.events("RabbitMQ is away; trying again") == []
    sessions = len(service.events("consuming"))
    assert sessions == WORKERS  # none is begun that could only give everything back again
    restore(database_link)
    await eventually(lambda: settled(gateway), 100)
    await service.ready()
    assert await gateway.waiting("billing_service.dlr.dead") == 0
    assert await service.metric("billing_worker_restarts_total") == 0
    assert await service.stop() == 0


async def test_database_that_is_read_only_is_an_outage(start, gateway: Gateway) -> None:
    service = await start().ready()
    name = await gateway.database.fetchval("SELECT current_database()")
    await gateway.database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await gateway.database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'billing-service%' AND datname = current_database()"
    )
    await publish(gateway, 20)
    await eventually(lambda: open_circuits(service), WORKERS)
    await eventually(lambda: code(service), 503)
    await gateway.database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await eventually(lambda: settled(gateway), 20)
    await eventually(lambda: code(service), 200)
    assert await service.metric("billing_dead_letters_total") == 0
    assert await service.stop() == 0


@pytest.mark.parametrize(
    "limits",
    [{"SHUTDOWN_TIMEOUT": "4"}, {"SHUTDOWN_TIMEOUT": "60", "DATABASE_HOLD_LIMIT": "20"}],
    ids=["out-of-time", "held-too-long"],
)
async def test_stop_during_an_outage_of_the_database_gives_everything_back(
    start, gateway: Gateway, database_link: Proxy, queues: Queues, limits: dict[str, str]
) -> None:
    service = await start(**limits).ready()
    interrupt(database_link)
    await publish(gateway, 100)
    await eventually(lambda: open_circuits(service), WORKERS)
    assert await service.stop() == 5
    await eventually(queues.ready, 200)


async def test_stop_while_nothing_is_held_does_not_wait_for_the_database(
    start, gateway: Gateway, database_link: Proxy, queues: Queues
) -> None:
    service = await start(DATABASE_HOLD_LIMIT="1", SHUTDOWN_TIMEOUT="600").ready()
    interrupt(database_link)
    await publish(gateway, 10)
    await eventually(lambda: consumers(gateway), 0)
    await eventually(queues.ready, 20)
    await eventually(queues.unacknowledged, 0)
    assert await service.stop() == 0


async def test_network_to_the_broker_that_goes_silent_is_noticed(
    start, gateway: Gateway, broker_link: Proxy
) -> None:
    service = await start(JASMIN_AMQP_HEARTBEAT="600").ready()
    broker_link.blackhole()
    await publish(gateway, 100)

    async def noticed() -> bool:
        return "RabbitMQ has not answered for 10 s" in service.log_text

    await eventually(noticed)
    await eventually(lambda: code(service), 503)
    restore(broker_link)
    await eventually(lambda: settled(gateway), 100)
    await service.ready()
    assert await service.stop() == 0


async def test_exchange_that_is_deleted_is_declared_and_bound_again(
    start, gateway: Gateway, stack: Stack, vhost: str
) -> None:
    service = await start().ready()
    for exchange in ("messaging", "billing"):
        stack.rabbitmq.api("DELETE", f"/exchanges/{vhost}/{exchange}")

    async def bound() -> set[str]:
        return {b["source"] for b in stack.rabbitmq.api("GET", f"/bindings/{vhost}") if b["source"]}

    await eventually(bound, {"messaging", "billing"})
    await publish(gateway, 10)
    await eventually(lambda: settled(gateway), 10)
    assert await service.stop() == 0


async def test_queue_that_comes_back_with_other_arguments_is_waited_for(
    start, gateway: Gateway, stack: Stack, vhost: str
) -> None:
    service = await start().ready()
    path = f"/queues/{vhost}/billing_service.dlr"
    with service.standing_still():  # or they might declare it themselves in between
        stack.rabbitmq.api("DELETE", path)
        stack.rabbitmq.api("PUT", path, {"durable": True, "arguments": {"x-queue-type": "classic"}})

    async def explained() -> bool:
        return "queue billing_service.dlr exists with another" in service.log_text

    await eventually(explained)
    stack.rabbitmq.api("DELETE", path)
    await service.ready()
    await publish(gateway, 10)
    await eventually(lambda: settled(gateway), 10)
    assert await service.metric("billing_worker_restarts_total") == 0
    assert await service.stop() == 0


async def test_what_a_lost_channel_delivered_is_not_acknowledged_on_the_next_one(
    start, gateway: Gateway, database_link: Proxy, queues: Queues
) -> None:
    """Its batch commits while the connection is gone; the broker delivers it again."""
    service = await start(WORKERS="1", DATABASE_COMMAND_TIMEOUT="60").ready()
    database_link.blackhole()
    await publish(gateway, 50)
    await eventually(queues.unacknowledged, 100)

    await queues.close_connections("billing-service worker-1", 2)
    restore(database_link)
    await eventually(lambda: settled(gateway), 50)

    async def again() -> float:
        return await service.metric("billing_redelivered_total")

    await eventually(again, 100)
    assert await gateway.count("billing_event") == 50
    assert "PRECONDITION" not in service.log_text
    for queue in QUEUES:
        assert await gateway.waiting(f"{queue}.dead") == 0
    assert await service.stop() == 0
    assert await gateway.waiting("billing_service.dlr") == 0


async def test_expired_events_find_their_way_when_only_that_of_dead_letters_was_lost(
    start, gateway: Gateway, queues: Queues
) -> None:
    """No stream has a dead letter to publish, so that only the sweeper notices."""
    service = await start(WORKERS="1").ready()
    await gateway.publish([dlr("nobody", "DELIVRD")])
    await eventually(lambda: gateway.count("billing_parked"), 1)
    await queues.close_connections("billing-service worker-1 dead letters", 1)
    await gateway.database.execute("UPDATE billing_parked SET parked_at = now() - interval '2 d'")
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 1)
    assert await service.stop() == 0


async def test_bad_rows_are_dead_lettered_alone(start, gateway: Gateway) -> None:
    """A hundred in ten thousand that only the database can refuse."""
    await gateway.database.execute(
        "ALTER TABLE sms_cdr ADD CONSTRAINT no_bad_codes CHECK (error_code <> 'BAD')"
    )
    service = await start().ready()
    messages = [f"m{number}" for number in range(10_000)]
    bad = set(messages[50::100])
    await gateway.add_cdrs(messages)
    await gateway.publish(
        dlr(m, "UNDELIV", dlr_details={"err": "BAD" if m in bad else "001"}) for m in messages
    )
    await eventually(lambda: gateway.count("sms_cdr", "status = 'failed'"), 9_900)
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 100)
    dead = await gateway.take("billing_service.dlr.dead")
    assert all('violates check constraint "no_bad_codes"' in reason for reason in reasons(dead))
    still = await gateway.database.fetch("SELECT message_id FROM sms_cdr WHERE status = 'queued'")
    assert {row["message_id"] for row in still} == bad
    assert await service.stop() == 0
