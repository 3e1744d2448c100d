"""What differs between releases of RabbitMQ and PostgreSQL; see docs/versions.md."""

from __future__ import annotations

import aio_pika
import asyncpg
import pytest

from bench.stack import Stack
from service import versions
from service.broker import topology
from service.broker.connection import connect, server_version
from service.exits import CannotStart
from service.settings import Bill, Dlr, Jasmin
from service.store import migrate, pool, reconcile, sql
from tests.support.gateway import Gateway, dlr
from tests.support.service import eventually

# RabbitMQ 4 gives up after 20 unless it is told otherwise.
DELIVERIES = 25


async def test_every_statement_is_understood(stack: Stack, database: str) -> None:
    connection = await asyncpg.connect(stack.postgres.dsn(database))
    for name in sorted(path.stem for path in sql.FOLDER.glob("*.sql")):
        try:
            await connection.prepare(sql.statement(name))
        except asyncpg.PostgresError as error:
            pytest.fail(f"{name}.sql: {error}")
    optional = (reconcile.IF_REFUNDING, reconcile.IF_REVERSING, reconcile.IF_DEBITING)
    for check in (*reconcile.CHECKS, *optional):
        found = await reconcile._run(connection, check, 1, debits=True)
        assert found.differences == 0, check.name
    await connection.close()


async def test_what_comes_back_often_is_not_given_up_by_the_broker(
    start, stack: Stack, vhost: str, gateway: Gateway
) -> None:
    """As when workers are killed, or connections cut, again and again."""
    await gateway.add_cdrs(["m1"])
    connection = await aio_pika.connect(stack.rabbitmq.url(vhost))
    async with connection:
        await topology.declare(connection, {topology.DLR: Dlr(), topology.BILL: Bill()})
        await gateway.publish([dlr("m1", "DELIVRD")])
        for _ in range(DELIVERIES):
            await eventually(lambda: gateway.waiting(topology.DLR.queue), 1)
            async with connection.channel() as channel:
                queue = await channel.get_queue(topology.DLR.queue, ensure=False)
                assert await queue.get() is not None
    service = await start().ready()
    await eventually(gateway.statuses, {"m1": "delivered"})
    assert await gateway.waiting(topology.DLR.dead_queue) == 0
    assert await service.stop() == 0


async def test_a_broker_says_its_version(stack: Stack, vhost: str) -> None:
    settings = Jasmin(
        amqp_host=stack.rabbitmq.host,
        amqp_port=stack.rabbitmq.port,
        amqp_user=stack.rabbitmq.user,
        amqp_password=stack.rabbitmq.password,
        amqp_vhost=vhost,
    )
    async with connect(settings, "test") as connection:
        version = server_version(connection)
    assert version == stack.rabbitmq.api("GET", "/overview")["rabbitmq_version"]
    assert not versions.is_old_rabbitmq(version)


async def test_a_database_that_is_too_old_is_refused(
    stack: Stack, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "OLDEST_POSTGRESQL", 99)
    url = stack.postgres.dsn(database)
    with pytest.raises(CannotStart, match="99 or later"):
        migrate.migrate(url, print)
    async with asyncpg.create_pool(url, min_size=1) as opened:
        with pytest.raises(CannotStart, match="99 or later"):
            await pool._check_version(opened)
