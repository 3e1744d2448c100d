"""Behind a PgBouncer in transaction mode with fewer servers than clients."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from bench.stack import PgBouncer, Stack
from service.doctor.finding import Level
from tests.support.doctor import findings, of
from tests.support.gateway import Gateway, bill, dlr
from tests.support.service import eventually, run_to_end

CANNOT_START = 3
MESSAGES = 3000
POOL_SIZE = 2  # servers, for two workers with three connections each


@pytest.fixture(scope="module")
def pgbouncer(stack: Stack) -> Iterator[PgBouncer]:
    """Start one, installing it first where it is missing."""
    directory = Path(tempfile.mkdtemp(prefix="billing-service-pgbouncer-", dir="/var/tmp"))
    directory.chmod(0o755)
    pgbouncer = PgBouncer(directory, stack.postgres, settings={"default_pool_size": str(POOL_SIZE)})
    try:
        with pgbouncer:
            yield pgbouncer
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def pooled(pgbouncer: PgBouncer, database: str) -> dict[str, str]:
    return {"DATABASE_URL": pgbouncer.dsn(database)}


async def test_nothing_is_lost_through_it_nor_when_it_restarts(
    start,
    environment: dict[str, str],
    gateway: Gateway,
    pgbouncer: PgBouncer,
    pooled: dict[str, str],
) -> None:
    messages = [str(uuid4()) for _ in range(MESSAGES)]
    await gateway.add_cdrs(messages)
    service = await start(
        **pooled, DATABASE_PGBOUNCER="true", DLR_BATCH_SIZE="50", BILL_BATCH_SIZE="50"
    ).ready()
    publications = [p for m in messages for p in (bill(m, bid=m), dlr(m, "DELIVRD"))]
    publishing = asyncio.create_task(gateway.publish(publications))

    async def halfway() -> bool:
        return await service.consumed() > MESSAGES // 4

    await eventually(halfway)
    await asyncio.to_thread(pgbouncer.restart)
    await publishing

    async def settled() -> int:
        return await gateway.count("sms_cdr", "status = 'delivered' AND confirmed_amount = 0.01")

    await eventually(settled, MESSAGES)
    assert await gateway.count("billing_event") == MESSAGES
    assert await gateway.count("billing_parked") == 0
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    await eventually(lambda: gateway.count("pg_stat_activity", others), POOL_SIZE)
    assert service.events("unexpected error") == []
    assert await service.stop() == 0
    variables = {f"BILLING_{name}": value for name, value in pooled.items()}
    for _ in range(2):
        reconciled = run_to_end("reconcile", environment=environment | variables)
        assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
    for queue in ("billing_service.dlr", "billing_service.submit_sm_resp"):
        assert await gateway.waiting(queue) == 0
        assert await gateway.waiting(f"{queue}.dead") == 0


async def test_without_the_setting_the_run_ends_and_names_it(start, pooled: dict[str, str]) -> None:
    service = start(**pooled)
    assert await service.ended() == CANNOT_START
    assert "set database.pgbouncer (BILLING_DATABASE_PGBOUNCER) to true" in service.log_text


async def test_migrate_wants_postgresql_itself(
    environment: dict[str, str], pooled: dict[str, str]
) -> None:
    result = run_to_end(
        "migrate", environment=environment | {"BILLING_DATABASE_URL": pooled["DATABASE_URL"]}
    )
    assert result.returncode == CANNOT_START
    assert "give migrate the URL of PostgreSQL itself" in result.stderr
    assert "Traceback" not in result.stderr


async def test_doctor_names_it_and_looks_at_the_rest(
    environment: dict[str, str], pooled: dict[str, str]
) -> None:
    settings = environment | {"BILLING_DATABASE_URL": pooled["DATABASE_URL"]}
    found = await findings(settings)
    told = of(found, Level.PROBLEM)
    assert "PostgreSQL is behind a connection pooler" in told
    assert "BILLING_DATABASE_PGBOUNCER" in told
    assert "the role may do all that the service does" in of(found, Level.OK)
    well = of(await findings(settings | {"BILLING_DATABASE_PGBOUNCER": "true"}), Level.OK)
    assert "a PgBouncer in between, as is set" in well
    assert "no events are parked" in well
