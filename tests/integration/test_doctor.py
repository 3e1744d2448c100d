"""``billing-service doctor`` on real servers: each trouble is made, and seen named."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from urllib.parse import quote, urlsplit

import aio_pika
import asyncpg
import pytest

from bench.chaos.proxy import Proxy
from bench.stack import Stack
from service.broker import probes
from service.broker.topology import BILL, DLR, dead_queue_arguments, declare, queue_arguments
from service.doctor import examination, look, management
from service.doctor.broker import JASMINS_QUEUE
from service.doctor.finding import Finding, Level
from service.settings import Bill, Dlr
from service.store.pool import SCHEMA_VERSION
from tests.support.doctor import findings, of
from tests.support.gateway import ACCOUNT, Gateway, Publication, bill, dlr
from tests.support.service import eventually, run_to_end

NOWHERE = ("127.0.0.1", 0)
LIMIT_SECONDS = 15.0  # within which it must end, whatever hangs
JASMIN = "[sm-listener]\npublish_submit_sm_resp = True\n[dlr]\n"
JASMIN += "smpp_receipt_on_success_submit_sm_resp = True\n"

Examine = Callable[..., Awaitable[list[Finding]]]


@pytest.fixture
def examined(environment: dict[str, str]) -> Examine:
    """A function that examines, with settings changed by keyword; returns all findings."""

    async def examined(management_url: str | None = None, **changed: str) -> list[Finding]:
        settings = environment | {f"BILLING_{name}": value for name, value in changed.items()}
        return await findings(settings, management_url)

    return examined


@pytest.fixture
async def channel(stack: Stack, vhost: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel of somebody who may do everything in the virtual host."""
    async with await aio_pika.connect(stack.rabbitmq.url(vhost)) as connection:
        yield await connection.channel()


@pytest.fixture
async def rows(stack: Stack, database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the database's owner."""
    connection = await asyncpg.connect(stack.postgres.dsn(database))
    yield connection
    await connection.close()


async def topology(stack: Stack, vhost: str) -> None:
    """Declare all that the service declares."""
    async with await aio_pika.connect(stack.rabbitmq.url(vhost)) as connection:
        await declare(connection, {DLR: Dlr(), BILL: Bill()})


def state_of(stack: Stack, vhost: str) -> dict[str, Any]:
    """Return all that is declared in a virtual host."""
    name = quote(vhost, safe="")
    queues = stack.rabbitmq.api("GET", f"/queues/{name}")
    return {
        "definitions": stack.rabbitmq.api("GET", f"/definitions/{name}"),
        "exchanges": stack.rabbitmq.api("GET", f"/exchanges/{name}?columns=name,type,durable"),
        "bindings": stack.rabbitmq.api("GET", f"/bindings/{name}"),
        "queues": [(queue["name"], queue["durable"], queue["arguments"]) for queue in queues],
    }


async def test_all_is_well_with_a_service_that_runs(
    start, stack: Stack, gateway: Gateway, environment: dict[str, str], tmp_path: Path
) -> None:
    service = await start(WORKERS="1").ready()
    vhost = environment["BILLING_JASMIN_AMQP_VHOST"]
    config = tmp_path / "jasmin.cfg"
    config.write_text(f"{JASMIN}[amqp-broker]\nport = {stack.rabbitmq.port}\nvhost = {vhost}\n")
    options = ("--json", "--jasmin-config", str(config))
    options += ("--management-url", stack.rabbitmq.management_url)
    port = {"BILLING_HTTP_PORT": str(urlsplit(service.url).port)}
    async with await aio_pika.connect(stack.rabbitmq.url(vhost)) as jasmin:
        router = await (await jasmin.channel()).declare_queue(JASMINS_QUEUE)
        await router.consume(AsyncMock())
        result = await asyncio.to_thread(
            run_to_end, "doctor", *options, environment=environment | port
        )
    told = json.loads(result.stdout)
    assert [f for f in told["findings"] if f["level"] != "ok"] == []
    assert (result.returncode, told["ok"], result.stderr) == (0, True, "")
    checks = {finding["check"] for finding in told["findings"]}
    assert {"broker", "bindings", "cdr_index", "clock", "readyz", "jasmin_vhost"} <= checks

    await gateway.publish([Publication("messaging", "dlr.deliver_sm", b"rubbish"), dlr("m1", "X")])
    await eventually(lambda: gateway.waiting(DLR.dead_queue), 1)
    result = await asyncio.to_thread(run_to_end, "doctor", environment=environment | port)
    assert result.returncode == 0  # warnings only
    for said in (
        "dlr: 1 message since the start could not be applied as it is",
        "billing-service dlq list --stream dlr tells why",
        f"queue {DLR.dead_queue}: 1 dead letter\n",
        f"queue {JASMINS_QUEUE} has no consumer",
        "bindings are not looked at",
    ):
        assert said in result.stdout


async def test_nothing_is_changed_by_looking(
    examined: Examine, stack: Stack, gateway: Gateway, vhost: str, rows: asyncpg.Connection
) -> None:
    await topology(stack, vhost)
    await gateway.publish([bill(f"m{n}", f"b{n}") for n in range(3)])
    before = state_of(stack, vhost)
    name = await rows.fetchval("SELECT current_database()")
    await rows.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    found = await examined(stack.rabbitmq.management_url)
    assert state_of(stack, vhost) == before
    assert f"queue {BILL.queue}: nobody consumes" in of(found, Level.PROBLEM)
    assert "PostgreSQL is read-only" in of(found, Level.PROBLEM)
    assert of(found, Level.UNKNOWN).count("\n") == 0  # the port that it listens on, only
    assert [m.redelivered for m in await gateway.take(BILL.queue)] == [False] * 3


async def test_nothing_is_created_where_there_is_nothing(
    examined: Examine, stack: Stack, vhost: str
) -> None:
    before = state_of(stack, vhost)
    said = of(await examined(stack.rabbitmq.management_url))
    assert state_of(stack, vhost) == before
    for name in ("messaging", "billing"):
        assert f"exchange {name} is not there" in said
    for name in (DLR.queue, BILL.queue):
        assert f"queue {name} is not there: what Jasmin publishes is lost" in said
    assert f"queue {DLR.dead_queue} is not there" in said


async def test_what_is_declared_otherwise_is_named(
    examined: Examine, channel: aio_pika.abc.AbstractChannel
) -> None:
    await channel.declare_exchange("messaging", "topic", durable=True)
    await channel.declare_exchange("billing", "direct")
    for source, arguments in (
        (DLR, queue_arguments(DLR, Dlr(max_length=1000))),
        (BILL, queue_arguments(BILL, Bill()) | {"x-message-ttl": 5000}),
    ):
        await channel.declare_queue(source.queue, durable=True, arguments=arguments)
    await channel.declare_queue(DLR.dead_queue, durable=False)
    await channel.declare_queue(
        BILL.dead_queue, durable=True, arguments=dead_queue_arguments("classic")
    )
    said = of(await examined(), Level.PROBLEM)
    for part in (
        "exchange messaging exists with another durable: it has 'true'",
        "exchange billing exists with another type: it has 'direct'",
        "another x-max-length: it has '1000', this service declares '100000'",
        "Set dlr.max_length (BILLING_DLR_MAX_LENGTH) back to 1000 and start",
        "another x-message-ttl: it has '5000', this service declares '86400000'",
        f"queue {DLR.dead_queue} exists with another durable",
        f"queue {BILL.dead_queue} exists with another x-queue-type: it has 'classic'",
    ):
        assert part in said
    classic = {"DLR_MAX_LENGTH": "1000", "BILL_QUEUE_TYPE": "classic"}
    said = of(await examined(**classic), Level.PROBLEM)
    assert f"queue {DLR.queue} exists" not in said
    assert f"queue {BILL.dead_queue} exists" not in said


async def test_queues_that_fill_and_what_the_management_knows(
    examined: Examine, stack: Stack, gateway: Gateway, vhost: str
) -> None:
    await topology(stack, vhost)
    name = quote(vhost, safe="")
    stack.rabbitmq.api(
        "PUT",
        f"/policies/{name}/short",
        {"pattern": "dead$", "definition": {"max-length": 7}, "apply-to": "queues"},
    )
    stack.rabbitmq.api(
        "POST", f"/bindings/{name}/e/messaging/q/{DLR.queue}", {"routing_key": "submit.sm.#"}
    )
    key = quote(BILL.binding, safe="")
    stack.rabbitmq.api("DELETE", f"/bindings/{name}/e/billing/q/{BILL.queue}/{key}")
    await gateway.publish([dlr(f"m{n}", "DELIVRD") for n in range(50)])

    async def is_applied() -> bool:
        queue = stack.rabbitmq.api("GET", f"/queues/{name}/{DLR.dead_queue}")
        return bool(queue.get("effective_policy_definition"))

    await eventually(is_applied)
    found = await examined(stack.rabbitmq.management_url)
    problems, warnings = of(found, Level.PROBLEM), of(found, Level.WARNING)
    assert f"queue {BILL.queue} is not bound to exchange billing" in problems
    assert f"queue {DLR.dead_queue}: policy short limits it: max-length = 7" in problems
    assert f"queue {DLR.queue} is also bound to messaging with key submit.sm.#" in warnings
    assert f"queue {DLR.queue}: nobody consumes" in problems
    assert f"queue {BILL.queue}: nobody consumes" in warnings
    wrong = of(await examined("http://127.0.0.1:1"), Level.WARNING)
    assert "RabbitMQ's management does not answer" in wrong
    strange = stack.rabbitmq.management_url.replace("//", "//nobody:nothing@")
    assert "management refuses the user: 401" in of(await examined(strange), Level.WARNING)


async def test_credentials_that_are_refused(examined: Examine, environment: dict[str, str]) -> None:
    url = urlsplit(environment["BILLING_DATABASE_URL"])
    wrong = url._replace(netloc=f"postgres:wrong@{url.hostname}:{url.port}").geturl()
    found = await examined(JASMIN_AMQP_PASSWORD="wrong", DATABASE_URL=wrong)
    said = of(found, Level.PROBLEM)
    broker = f"127.0.0.1:{environment['BILLING_JASMIN_AMQP_PORT']}"
    assert f"RabbitMQ refuses user 'jasmin' at {broker}: check jasmin.amqp_user and" in said
    assert "BILLING_JASMIN_AMQP_PASSWORD" in said
    assert "PostgreSQL refuses: InvalidPasswordError" in said
    assert "BILLING_DATABASE_URL" in said
    assert "wrong" not in said


async def test_places_that_do_not_exist(examined: Examine, environment: dict[str, str]) -> None:
    missing = urlsplit(environment["BILLING_DATABASE_URL"])._replace(path="/missing").geturl()
    said = of(await examined(JASMIN_AMQP_VHOST="missing", DATABASE_URL=missing), Level.PROBLEM)
    assert "RabbitMQ refuses virtual host 'missing'" in said
    assert 'database "missing" does not exist' in said


async def test_servers_that_are_down(
    examined: Examine, environment: dict[str, str], closed_port: int
) -> None:
    nowhere = urlsplit(environment["BILLING_DATABASE_URL"])
    nowhere = nowhere._replace(netloc=f"postgres@127.0.0.1:{closed_port}")
    port = str(closed_port)
    found = await examined(
        JASMIN_AMQP_PORT=port, DATABASE_URL=nowhere.geturl() + "?sslmode=disable", HTTP_PORT=port
    )
    said = of(found)
    for server in ("RabbitMQ", "PostgreSQL"):
        says = f"{server} at 127.0.0.1:{port} cannot be reached: Connection refused -> start it"
        assert says in said
    assert f"no billing-service answers at http://127.0.0.1:{port}: Connection refused" in said


async def test_servers_that_never_answer_do_not_hold_it_up(examined: Examine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:  # connections are made, and that is all
        port = str(hole.getsockname()[1])
        hanging = examined(
            f"http://127.0.0.1:{port}",
            JASMIN_AMQP_PORT=port,
            DATABASE_URL=f"postgresql://billing:x@127.0.0.1:{port}/billing",
            HTTP_PORT=port,
        )
        said = of(await in_time(hanging))
    for part in (
        f"RabbitMQ at 127.0.0.1:{port} cannot be reached: no answer in time",
        f"PostgreSQL at 127.0.0.1:{port} cannot be reached: no answer in time",
        "RabbitMQ's management does not answer: no answer in time",
        f"no billing-service answers at http://127.0.0.1:{port}: no answer in time",
    ):
        assert part in said


async def test_of_several_addresses_each_is_looked_at(
    examined: Examine, environment: dict[str, str], stack: Stack
) -> None:
    """Half of them fall silent; whatever the order, it is told of each how it is."""
    url = urlsplit(environment["BILLING_DATABASE_URL"])
    broker = f"127.0.0.1:{environment['BILLING_JASMIN_AMQP_PORT']}"
    login, _, living = url.netloc.rpartition("@")
    with ExitStack() as holes:
        silent = [
            f"127.0.0.1:{holes.enter_context(socket.create_server(NOWHERE)).getsockname()[1]}"
            for _ in range(3)
        ]
        hosts = url._replace(
            netloc=f"{login}@{','.join([*silent, living])}",
            query="target_session_attrs=read-write",
        )
        several = examined(
            JASMIN_AMQP_HOST=",".join([*silent, broker]), DATABASE_URL=hosts.geturl()
        )
        found = await in_time(several)
    warnings, well = of(found, Level.WARNING), of(found, Level.OK)
    for server, answers in (("RabbitMQ", broker), ("PostgreSQL", living)):
        for address in silent:
            assert f"{server} at {address} cannot be reached: no answer in time" in warnings
        assert f" at {answers} takes" in well
    assert not any(f"at {address} takes" in well for address in silent)
    assert "cannot be reached" not in of(found, Level.PROBLEM)
    # All of them are one server here, which no standby follows.
    assert "synchronous_standby_names is empty, so that no COMMIT waits" in of(found, Level.PROBLEM)


async def in_time(examining: Awaitable[list[Finding]]) -> list[Finding]:
    """Examine in an event loop that ends in time, with all that hangs in it."""

    async def examine() -> list[Finding]:
        return await examining

    before = time.monotonic()
    found = await asyncio.to_thread(lambda: asyncio.run(examine()))
    assert time.monotonic() - before < LIMIT_SECONDS
    return found


async def test_a_broker_that_falls_silent_does_not_hold_it_up(
    examined: Examine, stack: Stack, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await topology(stack, vhost)
    monkeypatch.setattr(examination, "LIMIT_SECONDS", 3.0)
    async with Proxy(stack.rabbitmq.port) as proxy:

        async def fall_silent(*_: object) -> None:
            proxy.blackhole()

        monkeypatch.setattr(probes, "try_publishing", fall_silent)
        monkeypatch.setattr(probes, "exchange_difference", fall_silent)
        found = await in_time(examined(JASMIN_AMQP_PORT=str(proxy.port)))
    assert "no answer within 3 s; what is not listed was not looked at" in of(found, Level.PROBLEM)
    assert "takes user 'jasmin'" in of(found, Level.OK)  # what was found before is told


async def test_privileges_that_are_missing(
    examined: Examine, stack: Stack, vhost: str, rows: asyncpg.Connection
) -> None:
    await topology(stack, vhost)
    name, password = "test-doctor", "doctor"
    stack.rabbitmq.api("PUT", f"/users/{name}", {"password": password, "tags": ""})
    stack.rabbitmq.api(
        "PUT",
        f"/permissions/{quote(vhost, safe='')}/{name}",
        {"configure": "^messaging$", "write": "^$", "read": r"dlr"},
    )
    url = urlsplit(stack.postgres.dsn(await rows.fetchval("SELECT current_database()")))
    await rows.execute("CREATE ROLE test_doctor LOGIN PASSWORD 'doctor'")
    await rows.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO test_doctor")
    try:
        found = await examined(
            JASMIN_AMQP_USER=name,
            JASMIN_AMQP_PASSWORD=password,
            DATABASE_URL=url._replace(
                netloc=f"test_doctor:doctor@{url.hostname}:{url.port}"
            ).geturl(),
        )
    finally:
        stack.rabbitmq.api("DELETE", f"/users/{name}")
        await rows.execute("DROP OWNED BY test_doctor; DROP ROLE test_doctor")
    said = of(found, Level.PROBLEM)
    refused = next(f.says for f in found if f.check == "broker_privileges")
    assert refused.partition(": ")[2].split(", ") == [
        f"write on {DLR.queue} or read on exchange messaging",
        f"configure on {DLR.queue}",
        f"configure on {DLR.dead_queue}",
        "configure on exchange billing",
        f"write on {BILL.queue} or read on exchange billing",
        f"configure on {BILL.queue}",
        f"read on {BILL.queue}",
        f"configure on {BILL.dead_queue}",
        f"read on {BILL.dead_queue}",
        "write on exchange amq.default",
    ]
    assert f"rabbitmqctl list_permissions -p {vhost}" in said
    assert "role test_doctor lacks privileges" in said
    assert "INSERT on billing_event" in said
    assert "UPDATE (" in said
    assert "config/postgres/roles.sql" in said


async def test_a_schema_that_is_missing_behind_or_ahead(
    examined: Examine, stack: Stack, rows: asyncpg.Connection, empty_database: str
) -> None:
    found = await examined(DATABASE_URL=stack.postgres.dsn(empty_database))
    said = of(found, Level.PROBLEM)
    assert "the schema has not been created" in said
    assert "run: billing-service migrate (pending: 0001 " in said
    assert "privileges: not looked at" in of(found, Level.UNKNOWN)
    await rows.execute("UPDATE billing_schema_version SET version_num = '0003'")
    said = of(await examined(), Level.PROBLEM)
    assert f"the schema is at 0003, this version needs {SCHEMA_VERSION}" in said
    assert "pending: 0004 " in said
    await rows.execute("UPDATE billing_schema_version SET version_num = '0999'")
    found = await examined()
    assert "the schema is at 0999, that of a newer version" in of(found, Level.WARNING)
    assert "schema" not in of(found, Level.PROBLEM)
    await rows.execute("UPDATE billing_schema_version SET version_num = '9999'")
    assert "run a newer billing-service" in of(await examined(), Level.PROBLEM)


@pytest.mark.parametrize(
    ("done", "gone"),
    [
        ("DROP TABLE billing_refund", 'relation "billing_refund"'),
        ("ALTER TABLE sms_cdr DROP COLUMN refunded_amount", 'column "refunded_amount"'),
    ],
)
async def test_what_a_migration_made_is_gone(
    examined: Examine, rows: asyncpg.Connection, done: str, gone: str
) -> None:
    await rows.execute(done)
    said = of(await examined(), Level.PROBLEM)
    assert f"what a migration made is gone: {gone}" in said


PARKED = """
INSERT INTO billing_parked (digest, stream, message_id, operator_ids, uid, message, parked_at)
VALUES
    ('1', 'dlr', 'lost-1', NULL, NULL, '{}', now() - interval '20 h'),
    ('2', 'dlr', NULL, '{OPERATORS-ID}', NULL, '{}', now() - interval '20 min'),
    ('3', 'bill', NULL, NULL, E'acct-\\x1b[7', '{}', now() - interval '20 min'),
    ('4', 'bill', NULL, NULL, 'acct-1', '{}', now()),
    ('5', 'bill', NULL, NULL, 'acct-9', '{}', now() - interval '10 s'),
    ('6', 'submit', NULL, NULL, 'acct-1', '{}', now() - interval '20 min')
"""


async def test_what_waits_in_the_database(
    examined: Examine, gateway: Gateway, rows: asyncpg.Connection
) -> None:
    await rows.execute(PARKED)
    await rows.execute("INSERT INTO accounts (name) VALUES ('unmapped')")
    await rows.execute(
        "INSERT INTO billing_refund (message_id, cause, noted_at, due_at, account_id)"
        " VALUES ('m1', 'UNDELIV', now() - interval '3 h', now(), $1)",
        ACCOUNT,
    )
    found = await examined(JASMIN_AMQP_VHOST="missing")
    problems, warnings = of(found, Level.PROBLEM), of(found, Level.WARNING)
    assert "dlr: 2 events are parked, the oldest for 20 h" in problems
    assert "dlr: 1 event waits for CDRs that are not in sms_cdr: lost-1" in problems
    assert "dlr: 1 event waits for the message of the operator's ids OPERATORS-ID" in warnings
    assert (
        "bill: 2 events wait for the accounts of Jasmin's uids acct-\\x1b[7, acct-9 (1 account has"
        in warnings
    )
    assert "UPDATE accounts SET jasmin_uid" in warnings
    assert (
        "1 refund waits to be booked, the oldest for 3 h -> billing-service reconcile" in warnings
    )
    assert "balances" not in of(found, *Level)
    found = await examined(JASMIN_AMQP_VHOST="missing", BILL_CHARGE_MODE="debit")
    wanted = "1 event waits for balances of the accounts of Jasmin's uids acct-1"
    assert f"bill: {wanted}" in of(found, Level.OK)  # for a moment only
    assert f"submit: {wanted}" in of(found, Level.WARNING)
    await gateway.add_balance(Decimal(0))
    found = await examined(JASMIN_AMQP_VHOST="missing", BILL_CHARGE_MODE="debit")
    assert "balances" not in of(found, *Level)
    await gateway.add_cdrs(["m1"])
    await rows.execute("UPDATE billing_parked SET message_id = 'm1' WHERE uid = 'acct-9'")
    found = await examined(JASMIN_AMQP_VHOST="missing")
    assert "Jasmin's uids acct-\\x1b[7, acct-9 (1 account has" in of(found, Level.WARNING)
    await rows.execute("DROP INDEX billing_sms_cdr_message_id_idx")
    await rows.execute("CREATE INDEX half ON sms_cdr (message_id) WHERE status = 'queued'")
    found = await examined(JASMIN_AMQP_VHOST="missing")
    said = of(found, Level.PROBLEM)
    assert (
        "sms_cdr has no index on message_id that can be used (half is invalid or partial)" in said
    )
    assert "DROP INDEX CONCURRENTLY half; CREATE INDEX CONCURRENTLY ON sms_cdr" in said
    assert "without an index" in of(found, Level.UNKNOWN)


async def test_a_database_that_forgets_or_has_no_room(
    examined: Examine, rows: asyncpg.Connection
) -> None:
    name = await rows.fetchval("SELECT current_database()")
    await rows.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    found = await examined(JASMIN_AMQP_VHOST="missing", WORKERS="100")
    said = of(found, Level.PROBLEM)
    assert "synchronous_commit is off: what has been acknowledged" in said
    assert "100 workers open up to 300 connections; 197 are allowed in all" in said
    found = await examined(DATABASE_PGBOUNCER="true")
    assert "no PgBouncer is in between" in of(found, Level.WARNING)


class Late(datetime):
    """A clock that is slow."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) - timedelta(seconds=90)


async def test_another_clock_is_told(
    examined: Examine, monkeypatch: pytest.MonkeyPatch, stack: Stack
) -> None:
    for module in (look, management):
        monkeypatch.setattr(module, "datetime", Late)
    warnings = of(await examined(stack.rabbitmq.management_url), Level.WARNING)
    assert "PostgreSQL's clock differs from this machine's by +90.0 s" in warnings
    assert "RabbitMQ's clock differs from this machine's by +" in warnings
