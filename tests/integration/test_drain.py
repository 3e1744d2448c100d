"""Tiny drains: of each kind, and such as must not count."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import pytest
from rich.console import Console

from bench.lab import drain as drains
from bench.lab import observation, queues
from bench.lab.audit import audit
from bench.lab.contestant import service, settings_of
from bench.lab.database import Unusable
from bench.lab.drain import drain
from bench.lab.given import given_place
from bench.lab.place import Place
from bench.lab.result import Measurement
from bench.lab.screen import Screen
from bench.lab.workload import Kind, Workload
from bench.stack import Stack
from tests.integration.conftest import ROOT

EVENTS = 10_000  # fewer would be over before the CPU they take could be sampled


async def drained(place: Place, kind: Kind, **options: Any) -> Measurement:
    workload = Workload(kind, EVENTS, cdrs=12_000, accounts=20)
    settings = settings_of(workload, queue_type="quorum", flush_ms=20, **options)
    return await drain(place, workload, service(place, workload, settings, workers=2))


def different(measurement: Measurement) -> dict[str, int]:
    return {check.what: check.different for check in measurement.checks if check.different}


@pytest.mark.parametrize("kind", Kind)
async def test_every_event_of_a_drain_is_found_again(place: Place, kind: Kind) -> None:
    measurement = await drained(place, kind, batch_size=200)
    assert not different(measurement)
    assert not measurement.is_void
    figures = measurement.figures()
    assert figures["rate"] > 0
    assert 0 < figures["batch.median"] <= 200
    assert 0 < figures["commit_ms.p50"] <= figures["commit_ms.max"]
    assert figures["cpu_us.workers"] > 0
    assert figures["wal_bytes"] > 100
    assert figures["peak_rss_mib"] > 10


async def test_a_place_is_fresh_for_each_run_and_empty_at_the_end(
    stack: Stack, vhost: str, empty_database: str
) -> None:
    url, dsn = stack.rabbitmq.url(vhost), stack.postgres.dsn(empty_database)
    async with given_place(url, dsn, "classic", Screen(Console(quiet=True))) as place:
        for receipt_log in (False, True):
            workload = Workload(Kind.JSON, 500, cdrs=600, accounts=20)
            settings = settings_of(workload, queue_type="classic", receipt_log=receipt_log)
            contestant = service(place, workload, settings, workers=1)
            assert not different(await drain(place, workload, contestant))
        told = await place.describe()
    assert told["servers"] == "given"
    assert told["broker"].startswith("RabbitMQ")
    assert not await queues.existing(url)
    connection = await asyncpg.connect(dsn)
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'billing_bench%'"
    assert await connection.fetchval(schemas) == 0
    assert await connection.fetchval("SELECT to_regclass('sms_cdr')") is None
    await connection.close()


async def test_a_drain_is_void_when_a_cdr_is_not_as_it_must_be(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tampered(place: Place, *args: Any, **counts: int) -> Any:
        async with place.database.connect() as database:
            await database.execute(
                "UPDATE sms_cdr SET status = 'expired' WHERE message_id = "
                "(SELECT message_id FROM sms_cdr WHERE status = 'delivered' LIMIT 1)"
            )
        return await audit(place, *args, **counts)

    monkeypatch.setattr(drains, "audit", tampered)
    measurement = await drained(place, Kind.JSON)
    assert measurement.is_void
    assert different(measurement) == {"CDRs": 1}


async def test_a_drain_is_void_when_a_refund_is_booked_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tampered(place: Place, *args: Any, **counts: int) -> Any:
        async with place.database.connect() as database:
            await database.execute(
                "INSERT INTO balance_ledger (account_id, amount, currency, direction, reference) "
                "SELECT account_id, amount, currency, direction, reference FROM balance_ledger "
                "LIMIT 1"
            )
            await database.execute(
                "UPDATE account_balances SET balance = balance + 0.000001 WHERE account_id = "
                "(SELECT account_id FROM account_balances LIMIT 1)"
            )
        return await audit(place, *args, **counts)

    monkeypatch.setattr(drains, "audit", tampered)
    measurement = await drained(place, Kind.BILL)
    assert different(measurement) == {"ledger": 1, "balances": 1}


async def test_a_drain_is_void_when_a_message_is_stolen(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = drains.fill

    async def fill_and_steal(url: str, workload: Workload, *args: Any) -> int:
        published = await fill(url, workload, *args)
        async with await aio_pika.connect(url) as connection, connection.channel() as channel:
            queue = await channel.get_queue(workload.source.queue)
            await queue.get(no_ack=True)
        return published

    monkeypatch.setattr(drains, "fill", fill_and_steal)
    monkeypatch.setattr(observation, "_STALL_SECONDS", 8.0)
    measurement = await drained(place, Kind.JSON, receipt_log=True)
    assert different(measurement) == {
        "events in committed batches": 1,
        "CDRs": 1,
        "rows of the receipt log": 1,
    }


async def test_does_not_measure_in_a_virtual_host_that_is_used(
    stack: Stack, vhost: str, empty_database: str
) -> None:
    url, dsn = stack.rabbitmq.url(vhost), stack.postgres.dsn(empty_database)
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        await channel.declare_exchange("messaging", "topic")
    with pytest.raises(Unusable, match="in use: it has exchange messaging"):
        async with given_place(url, dsn, "quorum", Screen(Console(quiet=True))):
            pass
    assert await queues.existing(url) == ["exchange messaging"]


def test_the_command_measures_on_servers_of_its_own(tmp_path: Path) -> None:
    output = tmp_path / "drain.json"
    command = [sys.executable, "-m", "bench", "drain", "--events", "10000", "--cdrs", "12000"]
    command += ["--repeats", "2", "--batch-size", "200", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every event is accounted for, once" in done.stdout
    content = json.loads(output.read_text())
    assert not content["void"]
    assert len(content["measurements"]) == 2
    assert content["place"]["database_settings"]["fsync"] == "on"
    cpu = content["summary"]["billing-service"]
    assert min(cpu[f"cpu_us.{who}"]["median"] for who in ("workers", "broker", "database")) > 0
    assert output.with_suffix(".csv").read_text().count("\n") == 3
