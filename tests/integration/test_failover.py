"""Several brokers, several databases: when one is away, another takes over."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest
import structlog
import uvloop

from bench.chaos.proxy import Proxy
from bench.stack import PostgreSQL, Stack
from service.addresses import Address, Turns
from service.broker import connection
from service.broker.connection import connect
from service.broker.publisher import CONFIRM_SECONDS
from service.exits import CannotStart
from service.settings import Database, Jasmin
from service.store import hosts, pool
from service.store.errors import OUTAGES
from service.store.hosts import Hosts
from service.store.sql import statement
from tests.support.gateway import Gateway, bill, dlr
from tests.support.service import Service, eventually, run_to_end

LOCAL = "127.0.0.1"


# Brokers


def jasmin(stack: Stack, vhost: str, *addresses: Address, **changes: str) -> Jasmin:
    """Return settings that lead to these addresses."""
    given = {"amqp_password": stack.rabbitmq.password, "amqp_vhost": vhost} | changes
    return Jasmin(amqp_host=",".join(map(str, addresses)), **given)


def test_the_address_that_answers_is_found_and_kept(
    stack: Stack, vhost: str, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 3.0)
    gone, living = Address(LOCAL, closed_port), Address(LOCAL, stack.rabbitmq.port)

    async def story() -> None:
        async with Proxy(living.port) as proxy:
            proxy.blackhole()
            silent = Address(LOCAL, proxy.port)
            settings = jasmin(stack, vhost, gone, silent, living)
            turns = Turns([gone, silent, living])
            with structlog.testing.capture_logs() as logged:
                async with connect(settings, "first", turns) as found:
                    assert found.address == living
                assert [line["error"].partition(": ")[0] for line in logged] == [
                    str(gone),
                    str(silent),
                ]
                async with connect(settings, "second", turns) as found:
                    assert found.address == living
                assert len(logged) == 2  # the others were not asked again
            assert list(turns) == [living, gone, silent]

    uvloop.run(story())


def test_a_refusal_for_good_is_told_although_other_addresses_are_away(
    stack: Stack, vhost: str, closed_port: int
) -> None:
    gone, living = Address(LOCAL, closed_port), Address(LOCAL, stack.rabbitmq.port)

    async def story() -> None:
        settings = jasmin(stack, vhost, gone, living, amqp_password="wrong")
        with pytest.raises(CannotStart, match=f"refuses user 'jasmin' at {living}"):
            async with connect(settings, "test", Turns([living, gone])):
                pass

    uvloop.run(story())


class Nodes(NamedTuple):
    """Two ways to one broker, as good as two nodes of a cluster; each can be taken away."""

    first: Proxy
    second: Proxy

    def by_address(self, address: str) -> Proxy:
        return next(node for node in self if address == f"{LOCAL}:{node.port}")


@pytest.fixture
async def nodes(stack: Stack, environment: dict[str, str]) -> AsyncIterator[Nodes]:
    async with Proxy(stack.rabbitmq.port) as first, Proxy(stack.rabbitmq.port) as second:
        environment["BILLING_JASMIN_AMQP_HOST"] = f"{LOCAL}:{first.port},{LOCAL}:{second.port}"
        yield Nodes(first, second)


async def sessions(service: Service) -> list[str]:
    """Return where each session of the service so far has led."""
    return [line["broker"] for line in service.events("consuming")]


@pytest.mark.parametrize("how", ["killed", "silent"])
async def test_a_session_that_is_lost_goes_on_at_the_other_address(
    start, gateway: Gateway, nodes: Nodes, how: str
) -> None:
    service = await start(WORKERS="1", JASMIN_AMQP_HEARTBEAT="5").ready()
    (address,) = await sessions(service)
    lost = nodes.by_address(address)
    if how == "killed":
        lost.refusing = True
        lost.cut()
    else:
        lost.blackhole()  # only the missing heartbeats tell
    (other,) = {f"{LOCAL}:{node.port}" for node in nodes} - {address}
    await eventually(lambda: sessions(service), [address, other])
    if how == "killed":
        assert len(service.events("RabbitMQ is away; trying again")) <= 1
    await gateway.add_cdrs(["m1"])
    await gateway.publish([bill("m1", "b1"), dlr("m1", "DELIVRD")])
    await eventually(gateway.statuses, {"m1": "delivered"})
    assert await service.metric("billing_worker_restarts_total") == 0
    assert await service.stop() == 0


# Databases


def with_hosts_of(*urls: str) -> Database:
    """Return settings with the hosts of these URLs in one."""
    login, _, path = urls[0].partition("@")
    named = ",".join(url.partition("@")[2].partition("/")[0] for url in urls)
    query = "target_session_attrs=read-write"
    return Database(url=f"{login}@{named}/{path.rpartition('/')[2]}?{query}")


async def test_hosts_that_are_away_cost_their_time_once(
    stack: Stack, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "CONNECT_SECONDS", 3)
    living = stack.postgres.dsn()
    gone = living.replace(str(stack.postgres.port), str(closed_port))
    async with Proxy(stack.postgres.port) as proxy:
        proxy.blackhole()
        silent = living.replace(str(stack.postgres.port), str(proxy.port))
        found = Hosts(with_hosts_of(gone, silent, living))
        for limit in (9.0, 2.9):
            async with asyncio.timeout(limit):
                connected = await found.connect()
            assert await connected.fetchval("SELECT 1") == 1
            await connected.close()
        nowhere = Hosts(with_hosts_of(gone, silent))
        with pytest.raises(ConnectionError, match=rf"{LOCAL}.*; {LOCAL}:{proxy.port}: Timeout"):
            await nowhere.connect()


async def test_a_wrong_password_is_not_taken_for_a_host_that_is_away(
    stack: Stack, closed_port: int
) -> None:
    wrong = stack.postgres.dsn().replace(stack.postgres.password, "wrong")
    gone = wrong.replace(str(stack.postgres.port), str(closed_port))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await Hosts(with_hosts_of(gone, wrong)).connect()


async def test_a_host_that_vanishes_keeps_its_locks_for_a_time_only(
    stack: Stack, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pool.SERVER_SETTINGS["idle_in_transaction_session_timeout"] == "15s"
    assert CONFIRM_SECONDS < 15  # for which a sweep waits in the middle of its transaction
    monkeypatch.setitem(pool.SERVER_SETTINGS, "idle_in_transaction_session_timeout", "3s")
    settings = Database(url=stack.postgres.dsn(database))
    opened = await pool.open_pool(settings, "test", asyncio.sleep, captures=False)
    async with opened, opened.acquire() as vanished, opened.acquire() as other:

        async def leads() -> bool:
            async with other.transaction():
                return await other.fetchval(statement("lead_sweep"))

        await vanished.execute("BEGIN")
        assert await vanished.fetchval(statement("lead_sweep"))
        assert not await leads()
        await eventually(leads)
        with pytest.raises(OUTAGES):
            await vanished.execute("COMMIT")


@pytest.fixture
def pair(stack: Stack) -> Iterator[tuple[PostgreSQL, PostgreSQL]]:
    """A primary of its own, and its standby."""
    base = Path(tempfile.mkdtemp(prefix="billing-service-pair-", dir="/var/tmp"))
    base.chmod(0o755)
    primary = PostgreSQL(base / "primary")
    standby = PostgreSQL(base / "standby", standby_of=primary)
    try:
        with primary, standby:
            yield primary, standby
    finally:
        shutil.rmtree(base, ignore_errors=True)


async def test_the_standby_takes_over_once_it_is_promoted(
    start, stack: Stack, vhost: str, pair: tuple[PostgreSQL, PostgreSQL]
) -> None:
    primary, standby = pair
    url = with_hosts_of(standby.dsn(), primary.dsn()).url.get_secret_value()
    migrated = run_to_end("migrate", environment={"BILLING_DATABASE_URL": url})
    assert migrated.returncode == 0, migrated.stderr  # although it is named last
    service = await start(DATABASE_URL=url, WORKERS="1").ready()
    async with Gateway(stack.rabbitmq.url(vhost), primary.dsn()) as gateway:
        await gateway.add_account()
        await gateway.add_cdrs(["m1", "m2"])
        await gateway.publish([bill("m1", "b1")])
        await eventually(gateway.statuses, {"m1": "submitted", "m2": "queued"})
        replica = await asyncpg.connect(standby.dsn())

        async def statuses() -> dict[str, str]:
            return dict(await replica.fetch("SELECT message_id, status FROM sms_cdr"))

        await eventually(statuses, {"m1": "submitted", "m2": "queued"})
        primary.kill()
        await gateway.publish([bill("m2", "b2"), dlr("m1", "DELIVRD")])
        await eventually(lambda: service.metric("billing_circuit_open"), 1)
        await replica.execute("SELECT pg_promote()")
        await eventually(statuses, {"m1": "delivered", "m2": "submitted"})
        await replica.close()
    assert await service.metric("billing_worker_restarts_total") == 0
    assert await service.stop() == 0
    reconciled = run_to_end("reconcile", environment={"BILLING_DATABASE_URL": url})
    assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
