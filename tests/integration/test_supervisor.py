"""Starting, health, and what ends a run before it has begun."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import aio_pika
import pytest

from bench.stack import Stack
from service.broker.topology import DLR, dead_queue_arguments, queue_arguments
from service.settings import Dlr
from tests.support.gateway import Gateway, dlr
from tests.support.service import Service, eventually

CANNOT_START = 3


async def test_health_follows_the_workers(start, gateway: Gateway) -> None:
    service = await start().ready()
    assert (await service.get("/healthz")).text == "ok\n"
    answer = (await service.get("/readyz")).json()
    assert answer == {
        "ready": True,
        "workers": {"worker-1": True, "worker-2": True},
        "circuits": {"worker-1": "closed", "worker-2": "closed"},
    }
    os.kill(service.worker_pids[2], signal.SIGSTOP)  # its event loop stands still
    await eventually(lambda: readiness(service), {"worker-1": True, "worker-2": False})
    os.kill(service.worker_pids[2], signal.SIGCONT)
    await eventually(lambda: readiness(service), {"worker-1": True, "worker-2": True})
    assert await service.stop() == 0


async def test_metrics_add_up_across_workers_and_restarts(start, gateway: Gateway) -> None:
    service = await start(DLR_BATCH_SIZE="1", DLR_PREFETCH="2").ready()
    messages = [str(number) for number in range(50)]
    await gateway.add_cdrs(messages)
    await gateway.publish(dlr(message, "DELIVRD") for message in messages[:25])
    await eventually(service.consumed, 25)
    await eventually(lambda: service.metric("billing_unacknowledged"), 0)
    os.kill(service.worker_pids[1], signal.SIGKILL)
    await eventually(lambda: service.metric("billing_worker_restarts_total"), 1)
    await service.ready()
    await gateway.publish(dlr(message, "DELIVRD") for message in messages[25:])
    await eventually(service.consumed, 50)
    assert await service.metric("billing_events_total", outcome="applied") == 50
    assert await service.metric("billing_batches_total", reason="size") == 50
    assert await service.metric("billing_cdr_statuses_total", status="delivered") == 50
    await eventually(lambda: service.metric("billing_broker_connected"), 2)
    await eventually(lambda: service.metric("billing_database_connected"), 2)
    await eventually(lambda: service.metric("billing_unacknowledged"), 0)
    assert await service.stop() == 0


async def test_metrics_answer_and_never_go_back_while_workers_die(start, gateway: Gateway) -> None:
    service = await start().ready()
    messages = [str(number) for number in range(30)]
    await gateway.add_cdrs(messages)
    watching = asyncio.create_task(watch_metrics(service))
    for deaths, first in enumerate(range(0, 30, 10), 1):
        await gateway.publish(dlr(message, "DELIVRD") for message in messages[first : first + 10])
        await eventually(
            lambda: service.metric("billing_events_total", outcome="applied"),
            first + 10,
        )
        for pid in service.worker_pids.values():
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: service.metric("billing_worker_restarts_total"), 2 * deaths)
        await service.ready()
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    assert await service.metric("billing_events_total", outcome="applied") == 30
    assert await service.stop() == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"JASMIN_AMQP_PASSWORD": "wrong"}, "RabbitMQ refuses user 'jasmin'"),
        ({"JASMIN_AMQP_VHOST": "nowhere"}, "RabbitMQ refuses virtual host 'nowhere'"),
        ({"DATABASE_URL": "postgresql://nobody:wrong@{database}"}, "PostgreSQL refuses"),
        ({"DATABASE_URL": "postgresql://{credentials}@{server}/missing"}, "PostgreSQL refuses"),
        ({"DATABASE_URL": "postgresql://{credentials}@{server}/postgres"}, "service migrate"),
    ],
    ids=["broker-password", "vhost", "database-password", "no-database", "no-schema"],
)
async def test_what_waiting_will_not_help_ends_the_run(
    start, environment: dict[str, str], settings: dict[str, str], said: str
) -> None:
    url = urlsplit(environment["BILLING_DATABASE_URL"])
    credentials, _, server = url.netloc.rpartition("@")
    parts = {
        "credentials": credentials,
        "server": server,
        "database": f"{server}{url.path}",
    }
    service = start(**{name: value.format(**parts) for name, value in settings.items()})
    assert await service.ended() == CANNOT_START
    assert said in service.log_text
    assert "Traceback" not in service.log_text
    assert "wrong" not in service.log_text.replace("wrong schema", "")


async def test_port_that_is_taken_ends_the_run(start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = start(HTTP_PORT=str(taken.getsockname()[1]))
        assert await service.ended() == CANNOT_START
    assert "BILLING_HTTP_PORT" in service.log_text


async def test_queue_with_other_arguments_is_explained(
    start, stack: Stack, vhost: str, gateway: Gateway
) -> None:
    connection = await aio_pika.connect(stack.rabbitmq.url(vhost))
    async with connection, connection.channel() as channel:
        arguments = queue_arguments(DLR, Dlr(queue_type="classic"))
        await channel.declare_queue("billing_service.dlr", durable=True, arguments=arguments)
    service = start()
    assert await service.ended() == CANNOT_START
    assert "queue billing_service.dlr exists with another x-queue-type" in service.log_text
    assert "(BILLING_DLR_QUEUE_TYPE) back to classic and start" in service.log_text


async def test_exchange_that_would_break_jasmin_is_explained(
    start, stack: Stack, vhost: str
) -> None:
    connection = await aio_pika.connect(stack.rabbitmq.url(vhost))
    async with connection, connection.channel() as channel:
        await channel.declare_exchange("messaging", "topic", durable=True)
    service = start()
    assert await service.ended() == CANNOT_START
    assert "exchange messaging exists with another durable" in service.log_text


async def test_topology_is_as_specified(start, stack: Stack, vhost: str, gateway: Gateway) -> None:
    service = await start(BILL_QUEUE_TYPE="classic").ready()
    limits = {
        "x-message-ttl": 86_400_000,
        "x-max-length": 100_000,
        "x-overflow": "drop-head",
        "x-dead-letter-exchange": "",
    }
    queues = {queue["name"]: queue for queue in stack.rabbitmq.api("GET", f"/queues/{vhost}")}
    for name, kind, more in (
        ("billing_service.dlr", "quorum", {"x-delivery-limit": 2**31 - 1}),
        ("billing_service.submit_sm_resp", "classic", {}),
    ):
        assert queues[name]["durable"]
        assert queues[name]["arguments"] == limits | {
            "x-queue-type": kind,
            "x-dead-letter-routing-key": f"{name}.dead",
            **more,
        }
        assert queues[f"{name}.dead"]["durable"]
        assert queues[f"{name}.dead"]["arguments"] == dead_queue_arguments(kind)
    for exchange in ("messaging", "billing"):
        found = stack.rabbitmq.api("GET", f"/exchanges/{vhost}/{exchange}")
        assert (found["type"], found["durable"], found["auto_delete"]) == ("topic", False, False)
    bindings = {
        (b["source"], b["routing_key"], b["destination"])
        for b in stack.rabbitmq.api("GET", f"/bindings/{vhost}")
        if b["source"]
    }
    assert bindings == {
        ("messaging", "dlr.#", "billing_service.dlr"),
        ("billing", "bill_request.submit_sm_resp.#", "billing_service.submit_sm_resp"),
    }
    assert await service.stop() == 0


async def test_it_waits_for_broker_and_database(
    environment: dict[str, str], gateway: Gateway, start: Callable[..., Service]
) -> None:
    url = urlsplit(environment["BILLING_DATABASE_URL"])
    broker = Door(int(environment["BILLING_JASMIN_AMQP_PORT"]))
    database = Door(url.port or 0)
    service = start(
        JASMIN_AMQP_PORT=str(broker.port),
        DATABASE_URL=url._replace(
            netloc=f"{url.netloc.rpartition(':')[0]}:{database.port}"
        ).geturl(),
    )
    await eventually(lambda: told(service, "PostgreSQL is away; trying again"))
    assert (await service.get("/readyz")).status_code == 503
    await database.open()
    await eventually(lambda: told(service, "RabbitMQ is away; trying again"))
    await broker.open()
    await service.ready()
    for name, door in {"PostgreSQL": database, "RabbitMQ": broker}.items():
        away, back = (service.events(f"{name} is {how}") for how in ("away; trying again", "back"))
        assert {line["server"] for line in (*away, *back)} == {f"127.0.0.1:{door.port}"}
        assert {line["worker"] for line in away} == {line["worker"] for line in back}
    assert await service.stop() == 0
    await broker.close()
    await database.close()


async def test_it_comes_back_after_the_broker_dropped_it(
    start, environment: dict[str, str], gateway: Gateway
) -> None:
    broker = Door(int(environment["BILLING_JASMIN_AMQP_PORT"]))
    await broker.open()
    service = await start(JASMIN_AMQP_PORT=str(broker.port)).ready()
    await gateway.add_cdrs(["before", "after"])
    await gateway.publish([dlr("before", "DELIVRD")])
    await eventually(lambda: gateway.count("sms_cdr", "status = 'delivered'"), 1)
    await broker.close()
    await gateway.publish([dlr("after", "DELIVRD")])
    await eventually(lambda: told(service, "RabbitMQ is away; trying again"))
    await broker.open()
    await eventually(gateway.statuses, {"before": "delivered", "after": "delivered"})
    await service.ready()
    assert service.worker_pids.keys() == {1, 2}
    assert await service.metric("billing_worker_restarts_total") == 0
    assert await service.stop() == 0


async def test_it_comes_back_after_its_queue_was_deleted(
    start, stack: Stack, vhost: str, gateway: Gateway
) -> None:
    service = await start().ready()
    stack.rabbitmq.api("DELETE", f"/queues/{vhost}/billing_service.dlr")
    await eventually(lambda: told(service, "RabbitMQ is away; trying again"))
    await service.ready()
    await gateway.add_cdrs(["one"])
    await gateway.publish([dlr("one", "DELIVRD")])
    await eventually(gateway.statuses, {"one": "delivered"})
    assert await service.stop() == 0


async def test_stop_while_waiting_to_start(start, closed_port: int) -> None:
    service = start(DATABASE_URL=f"postgresql://a:b@127.0.0.1:{closed_port}/c")
    await eventually(lambda: told(service, "PostgreSQL is away; trying again"))
    assert await service.stop() == 0


async def watch_metrics(service: Service) -> None:
    """Fail when metrics or status do not answer, or a counter goes back."""
    settled = 0.0
    while True:
        for path in ("/metrics", "/status.json"):
            answer = await service.get(path)
            assert answer.status_code == 200, answer.text
        before, settled = settled, await service.metric("billing_events_total", outcome="applied")
        assert settled >= before
        await asyncio.sleep(0.05)


class Door:
    """A port that leads to another one while it is open, and to nothing while it is not."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._closed = bound(0)
        self.port = self._closed.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._lead, sock=self._closed)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._closed = bound(self.port)
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, back}
        await asyncio.gather(copy(reader, back), copy(there, writer))


def bound(port: int) -> socket.socket:
    """Return a socket that keeps a port and does not listen yet."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    return held


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def readiness(service: Service) -> dict[str, bool]:
    return dict((await service.get("/readyz")).json()["workers"])


async def told(service: Service, event: str) -> bool:
    return bool(service.events(event))
