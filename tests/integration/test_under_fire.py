"""Workers that crash, hang, come, go and are replaced, while events go on being settled."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.test_crashes import alive
from tests.support.gateway import Gateway, bill, dlr
from tests.support.service import Service, eventually

CRASH_LOOP = 4
ABANDONED = 5


class Traffic:
    """Publishes a receipt and a bill for one message after another."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.messages = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Not before the queues are bound: until then what is published is gone."""
        self._tasks.add(asyncio.create_task(self._run()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self) -> None:
        while True:
            batch = [str(uuid4()) for _ in range(20)]
            await self._gateway.add_cdrs(batch)
            events = (p for m in batch for p in (bill(m, f"b-{m}"), dlr(m, "DELIVRD")))
            await asyncio.shield(self._gateway.publish(events))
            self.messages += len(batch)
            await asyncio.sleep(0.02)

    async def all_settled(self) -> None:
        async def missing() -> int:
            done = "status = 'delivered' AND confirmed_amount = 0.01"
            return await self._gateway.count("sms_cdr", f"NOT ({done}) OR status IS NULL")

        await self.stop()
        await asyncio.sleep(0.1)  # the last of what was shielded
        await eventually(missing, 0, timeout=60)
        assert await self._gateway.count("sms_cdr") >= self.messages > 0


@pytest.fixture
async def traffic(gateway: Gateway) -> AsyncIterator[Traffic]:
    traffic = Traffic(gateway)
    yield traffic
    await traffic.stop()


async def told(service: Service, event: str) -> int:
    return len(service.events(event))


async def consumers(service: Service) -> float:
    return await service.metric("billing_broker_connected")


def dlr_batches(lines: list[dict[str, Any]]) -> list[int]:
    return [line["size"] for line in lines if line["event"] == "batch" and line["stream"] == "dlr"]


def configure(path: Path, text: str) -> None:
    """Change the file as deployments do: at once."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


async def test_crash_loop_is_given_up_with_its_own_exit_code(start, gateway: Gateway) -> None:
    service = start(WORKERS="1")
    killed: set[int] = set()
    while service.exit_code is None:
        for pid in set(service.worker_pids.values()) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        await asyncio.sleep(0.02)
    assert service.exit_code == CRASH_LOOP
    assert len(killed) == 5
    (line,) = service.events(
        "workers die as soon as they are started; giving up. The lines above say of what; nothing "
        "that was not acknowledged is lost"
    )
    assert line["level"] == "critical"
    delays = [line["delay_s"] for line in service.events("worker-1 died young; trying again")]
    assert len(delays) == 4


async def test_one_that_crashes_is_replaced_while_the_others_go_on(
    start, gateway: Gateway, traffic: Traffic
) -> None:
    service = await start().ready()
    traffic.begin()
    for number in range(1, 4):
        os.kill(service.worker_pids[1], signal.SIGKILL)
        await eventually(lambda n=number: told(service, "worker died; starting another"), number)
        await service.ready()
    await traffic.all_settled()
    assert await service.stop() == 0


async def test_worker_that_is_stopped_is_killed_and_replaced(
    start, gateway: Gateway, traffic: Traffic
) -> None:
    service = await start(HANG_TIMEOUT="3").ready()
    traffic.begin()
    victim = service.worker_pids[1]
    os.kill(victim, signal.SIGSTOP)
    await eventually(lambda: told(service, "worker hangs; killing it"), 1)
    (line,) = service.events("worker hangs; killing it")
    assert (line["pid"], line["stacks"]) == (victim, "none: the process is stopped by a signal")
    await eventually(lambda: told(service, "worker started"), 3)
    await service.ready()
    assert await service.metric("billing_worker_hangs_total") == 1
    assert await service.metric("billing_worker_restarts_total") == 1
    await traffic.all_settled()
    assert await service.stop() == 0


async def test_event_loop_that_hangs_leaves_its_stacks_in_the_log(
    start, gateway: Gateway, environment: dict[str, str], tmp_path: Path
) -> None:
    """A worker blocks for good where it reads a certificate: from a pipe without a writer."""
    os.mkfifo(tmp_path / "fifo")
    url = environment["BILLING_DATABASE_URL"] + f"?sslmode=verify-ca&sslrootcert={tmp_path}/fifo"
    service = start(WORKERS="1", HANG_TIMEOUT="3", DATABASE_URL=url)
    await eventually(lambda: told(service, "worker hangs; killing it"), 1)
    (line,) = service.events("worker hangs; killing it")
    assert "asyncpg/connect_utils.py" in line["stacks"]
    assert "service/store/pool.py" in line["stacks"]
    await eventually(lambda: told(service, "worker started"), 2)
    assert await service.stop() == 0


async def test_hangup_replaces_the_workers_without_a_gap(
    start, gateway: Gateway, traffic: Traffic, tmp_path: Path
) -> None:
    file = tmp_path / "billing.toml"
    configure(file, "[dlr]\nbatch_size = 11\n")
    service = await start(CONFIG=str(file)).ready()
    traffic.begin()
    before = service.worker_pids
    configure(file, "[dlr]\nbatch_size = 1\n")
    lowest = 2.0
    os.kill(service.pid, signal.SIGHUP)
    while not await told(service, "reloaded"):
        lowest = min(lowest, await consumers(service))
        assert (await service.get("/readyz")).status_code == 200
    assert lowest == 2
    assert set(before.values()).isdisjoint(service.worker_pids.values())
    assert await alive(before.values()) == []
    await traffic.all_settled()
    assert await service.metric("billing_worker_restarts_total") == 0
    reloaded = service.lines.index(service.events("reloaded")[0])
    assert max(dlr_batches(service.lines[:reloaded])) > 1
    assert max(dlr_batches(service.lines[reloaded:])) == 1
    assert await service.stop() == 0


async def test_hangup_with_settings_that_cannot_work_changes_nothing(
    start, gateway: Gateway, traffic: Traffic, tmp_path: Path
) -> None:
    file = tmp_path / "billing.toml"
    configure(file, "")
    service = await start(CONFIG=str(file)).ready()
    traffic.begin()
    before = service.worker_pids
    configure(file, "[dlr]\nbatch_size = 0\n[nonsense]\n")
    os.kill(service.pid, signal.SIGHUP)
    await eventually(lambda: told(service, "settings not reloaded; going on as before"), 1)
    (line,) = service.events("settings not reloaded; going on as before")
    assert len(line["problems"]) == 2
    configure(file, "[dlr]\nqueue_type = 'classic'\n")
    os.kill(service.pid, signal.SIGHUP)
    refused = "settings not reloaded: no worker consumes with them; going on as before"
    await eventually(lambda: told(service, refused), 1)
    assert "exists with another x-queue-type" in service.log_text
    assert await alive(before.values()) == sorted(before.values())
    await service.ready()
    await traffic.all_settled()
    assert await service.stop() == 0


async def test_hangup_changes_the_number_of_workers(
    start, environment: dict[str, str], gateway: Gateway, tmp_path: Path
) -> None:
    del environment["BILLING_WORKERS"]
    file = tmp_path / "billing.toml"
    configure(file, "workers = 1")
    service = await start(CONFIG=str(file)).ready()
    for workers in (3, 2):
        configure(file, f"workers = {workers}")
        done = len(service.events("reloaded"))
        os.kill(service.pid, signal.SIGHUP)
        await eventually(lambda n=done: told(service, "reloaded"), done + 1)
        await eventually(lambda: consumers(service), workers)
        assert len((await service.get("/readyz")).json()["workers"]) == workers
    assert await service.stop() == 0


async def test_ttin_and_ttou_change_the_number_of_workers(
    start, gateway: Gateway, traffic: Traffic
) -> None:
    service = await start(WORKERS="1").ready()
    traffic.begin()
    os.kill(service.pid, signal.SIGTTIN)
    await eventually(lambda: consumers(service), 2)
    os.kill(service.pid, signal.SIGTTOU)
    await eventually(lambda: consumers(service), 1)
    os.kill(service.pid, signal.SIGTTOU)
    await eventually(lambda: told(service, "not changed: there must be 1 to 256 workers"), 1)
    await service.ready()
    await traffic.all_settled()
    assert await service.metric("billing_redelivered_total") <= 2  # see deliveries.py
    assert await service.stop() == 0


async def test_second_signal_ends_the_drain_at_once(start, gateway: Gateway) -> None:
    service = await start().ready()
    for pid in service.worker_pids.values():
        os.kill(pid, signal.SIGSTOP)  # they can drain nothing
    os.kill(service.pid, signal.SIGTERM)
    await eventually(lambda: told(service, "draining"), 1)
    assert await service.stop(timeout=5) == ABANDONED
    assert {line["why"] for line in service.events("worker killed")} == {"second signal"}
    assert await alive(service.worker_pids.values()) == []


async def test_workers_drain_when_their_supervisor_is_killed(
    start, gateway: Gateway, traffic: Traffic
) -> None:
    first = await start().ready()
    traffic.begin()
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: alive(first.worker_pids.values()), [])
    assert len(first.events("the supervisor is gone; draining")) == 2
    assert [line["unacknowledged"] for line in first.events("drained")] == [0] * 4
    second = await start().ready()
    await traffic.all_settled()
    assert await second.stop() == 0
