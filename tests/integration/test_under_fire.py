"""Workers that crash, hang, come, go and are replaced, while events go on being settled."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import structlog

from bench.chaos.proxy import Proxy
from service import deaths, process, run_directory
from service.settings import Settings
from service.slot import Slot
from tests.integration import hanging
from tests.integration.test_crashes import QUEUES, alive
from tests.support.gateway import Gateway, bill, dlr
from tests.support.service import TIMEOUT, Service, eventually

CRASH_LOOP = 4
ABANDONED = 5
REFUSED = "settings not reloaded: no worker consumes with them; going on as before"
# Traffic comes in bursts of 20, so that batches of these sizes fill.
BATCHES_OF_5 = "[dlr]\nbatch_size = 5\n"
BATCHES_OF_7 = "[dlr]\nbatch_size = 7\n"


class Traffic:
    """Publishes a receipt and a bill for one message after another.

    Only once the service has bound its queues: what no queue takes is gone.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._goes_on = True
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._goes_on = False
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while self._goes_on:
            batch = [str(uuid4()) for _ in range(20)]
            await self._gateway.add_cdrs(batch)
            await self._gateway.publish(
                p for m in batch for p in (bill(m, f"b-{m}"), dlr(m, "DELIVRD"))
            )
            await asyncio.sleep(0.02)

    async def all_settled(self) -> None:
        """Stop it, and wait until the last event has had its effect."""

        async def missing() -> int:
            done = "status = 'delivered' AND confirmed_amount = 0.01"
            return await self._gateway.count("sms_cdr", f"({done}) IS NOT TRUE")

        await self.stop()
        assert await self._gateway.count("sms_cdr") > 0
        await eventually(missing, 0)


@pytest.fixture
async def traffic(gateway: Gateway) -> AsyncIterator[Traffic]:
    traffic = Traffic(gateway)
    yield traffic
    await traffic.stop()


async def told(service: Service, event: str) -> int:
    return len(service.events(event))


async def has_started(service: Service, processes: int) -> bool:
    """Whether so many worker processes have been started, or more since."""
    return await told(service, "worker started") >= processes


async def largest_batch(lines: list[dict[str, Any]]) -> int:
    """Return the size of the largest batch of receipts that these lines tell of."""
    batches = [line for line in lines if line["event"] == "batch" and line["stream"] == "dlr"]
    return max((line["size"] for line in batches), default=0)


def since(service: Service, line: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines after this one."""
    lines = service.lines
    return lines[lines.index(line) + 1 :]


async def settling(service: Service) -> bool:
    return bool(service.events("batch"))


async def workers(service: Service) -> dict[str, bool]:
    return dict((await service.get("/readyz")).json()["workers"])


def blocked_signals(pid: int) -> set[signal.Signals]:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(status.partition("SigBlk:")[2].split()[0], 16)
    return {signum for signum in signal.Signals if mask >> signum - 1 & 1}


def run_directories(path: Path) -> list[Path]:
    return list(path.glob("billing-service-run-*"))


def configure(path: Path, text: str) -> None:
    """Change the file as deployments do: at once."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


async def kill_newborns(service: Service, worker: int, already: set[int]) -> None:
    """Kill the newest process of a worker, unless that has been done."""
    pid = service.worker_pids.get(worker)
    if pid is not None and pid not in already:
        with suppress(ProcessLookupError):  # ended since, with all the others
            os.kill(pid, signal.SIGKILL)
            already.add(pid)


async def test_crash_loop_is_given_up_with_its_own_exit_code(start, gateway: Gateway) -> None:
    service = start()
    killed: dict[int, set[int]] = {1: set(), 2: set()}
    while service.exit_code is None:
        assert max(map(len, killed.values())) < 3 * deaths.LIMIT, "it does not give up"
        for worker, pids in killed.items():
            await kill_newborns(service, worker, pids)
        await asyncio.sleep(0.02)
    assert service.exit_code == CRASH_LOOP
    assert min(map(len, killed.values())) == deaths.LIMIT
    (line,) = [line for line in service.lines if line["level"] == "critical"]
    assert "all workers die" in line["event"]
    assert line["exit_code"] == -signal.SIGKILL
    delays = [line["delay_s"] for line in service.events("worker-1 died young; trying again")]
    assert len(delays) >= deaths.LIMIT - 1
    assert len(set(delays)) > 1


async def test_one_that_crashes_for_ever_is_replaced_while_the_others_go_on(
    start, gateway: Gateway, traffic: Traffic
) -> None:
    service = await start().ready()
    traffic.start()
    well = service.worker_pids[2]
    killed: set[int] = set()
    while len(killed) < deaths.LIMIT + 1:
        assert service.exit_code is None, "it gave up for one bad worker"
        await kill_newborns(service, 1, killed)
        await asyncio.sleep(0.02)
    await eventually(lambda: told(service, "worker died; starting another"), len(killed))
    await service.ready()
    assert service.worker_pids[2] == well
    assert await service.metric("billing_worker_restarts_total") == len(killed)
    await traffic.all_settled()
    assert await service.stop() == 0


async def test_worker_that_is_stopped_is_killed_and_replaced(
    start, gateway: Gateway, traffic: Traffic
) -> None:
    service = await start(HANG_TIMEOUT="3").ready()
    traffic.start()
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


@pytest.mark.parametrize("way", ["asleep", "busy"])
async def test_event_loop_that_hangs_leaves_its_stacks_in_the_log(
    way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(run_directory.VARIABLE, "restored afterwards")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(process, "worker", SimpleNamespace(run=getattr(hanging, way)))
    settings = Settings(database={"url": "postgresql://a:b@127.0.0.1:1/c"}, hang_timeout=3)
    codes: list[int] = []

    def on_death(slot: Slot, code: int) -> None:
        codes.append(code)
        slot.retire()

    with run_directory.create() as directory, structlog.testing.capture_logs() as lines:
        slot = Slot(settings, 1, on_death, is_patient=lambda: False)
        await asyncio.wait_for(slot.run(), TIMEOUT)
        assert list(directory.glob("stacks-*")) == []
    (line,) = [line for line in lines if line["event"] == "worker hangs; killing it"]
    assert codes == [-signal.SIGKILL]
    assert f"in {way}" in line["stacks"]
    assert "in _beside" in line["stacks"], "the other threads' stacks"


async def test_machine_that_stood_still_kills_nobody(
    start, gateway: Gateway, traffic: Traffic
) -> None:
    service = await start(HANG_TIMEOUT="6").ready()
    traffic.start()
    before = service.worker_pids
    os.killpg(service.pid, signal.SIGSTOP)
    await asyncio.sleep(8)
    os.kill(service.pid, signal.SIGCONT)  # the supervisor sees its workers still standing
    assert (await service.get("/readyz")).status_code == 503
    os.killpg(service.pid, signal.SIGCONT)
    await service.ready()
    await traffic.all_settled()
    assert service.worker_pids == before
    assert await service.metric("billing_worker_hangs_total") == 0
    assert await service.stop() == 0


async def test_hangup_replaces_the_workers_without_a_gap(
    start, gateway: Gateway, traffic: Traffic, tmp_path: Path
) -> None:
    """As when a terminal is closed: it reaches the workers too, which must not care."""
    file = tmp_path / "billing.toml"
    configure(file, BATCHES_OF_7)
    service = await start(CONFIG=str(file)).ready()
    traffic.start()
    before = service.worker_pids
    await eventually(lambda: largest_batch(service.lines), 7)
    configure(file, BATCHES_OF_5)
    os.killpg(service.pid, signal.SIGHUP)
    consumers: set[int] = set()
    readiness: set[int] = set()
    while not await told(service, "reloaded"):
        consumers |= {await gateway.consumers(queue) for queue in QUEUES}
        readiness.add((await service.get("/readyz")).status_code)
    assert min(consumers) == 2
    assert max(consumers) == 3, "it was looked at while one was replaced"
    assert readiness == {200}
    assert set(before.values()).isdisjoint(service.worker_pids.values())
    assert await alive(before.values()) == []
    (reloaded,) = service.events("reloaded")
    await eventually(lambda: largest_batch(since(service, reloaded)), 5)
    await traffic.all_settled()
    assert await largest_batch(since(service, reloaded)) == 5
    assert await service.metric("billing_worker_restarts_total") == 0
    assert {line["unacknowledged"] for line in service.events("drained")} == {0}
    assert await service.stop() == 0


async def test_hangup_with_settings_that_cannot_work_changes_nothing(
    start, gateway: Gateway, traffic: Traffic, tmp_path: Path
) -> None:
    file = tmp_path / "billing.toml"
    configure(file, "")
    service = await start(CONFIG=str(file)).ready()
    traffic.start()
    before = service.worker_pids
    configure(file, "[dlr]\nbatch_size = 0\n[nonsense]\n")
    os.kill(service.pid, signal.SIGHUP)
    await eventually(lambda: told(service, "settings not reloaded; going on as before"), 1)
    (line,) = service.events("settings not reloaded; going on as before")
    assert len(line["problems"]) == 2
    configure(file, "[dlr]\nqueue_type = 'classic'\n")  # the broker refuses that
    os.kill(service.pid, signal.SIGHUP)
    await eventually(lambda: told(service, REFUSED), 1)
    assert "exists with another x-queue-type" in service.log_text
    assert await alive(before.values()) == list(before.values())
    await service.ready()
    await traffic.all_settled()
    assert await service.stop() == 0


async def test_hangup_that_fails_halfway_is_rolled_back(
    start, gateway: Gateway, broker_link: Proxy, traffic: Traffic, tmp_path: Path
) -> None:
    file = tmp_path / "billing.toml"
    configure(file, BATCHES_OF_7)
    service = await start(CONFIG=str(file)).ready()
    traffic.start()
    before = service.worker_pids
    configure(file, BATCHES_OF_5)
    with service.standing_still(1):  # its successor comes, and waits for it to drain
        os.kill(service.pid, signal.SIGHUP)
        await eventually(lambda: told(service, "consuming"), 3)
        broker_link.refusing = True  # for the successor of worker 2
    await eventually(lambda: told(service, "worker started"), 4)
    assert service.worker_pids[1] != before[1]
    os.kill(service.worker_pids[2], signal.SIGKILL)
    broker_link.refusing = False
    await eventually(lambda: told(service, REFUSED), 1)
    assert service.events(REFUSED)[0]["worker"] == 2
    await eventually(lambda: told(service, "worker started"), 5)
    assert await alive([before[2]]) == [before[2]]
    replaced = service.events("worker started")[2]["pid"]
    await eventually(lambda: alive([replaced]), [])
    await service.ready()
    last = service.events("worker started")[-1]

    async def batch_of_worker_1() -> int:
        return await largest_batch([m for m in since(service, last) if m.get("worker") == 1])

    await eventually(batch_of_worker_1, 7)
    await traffic.all_settled()
    await eventually(lambda: gateway.consumers(QUEUES[0]), 2)
    assert await service.stop() == 0


async def test_hangup_changes_what_it_can_and_names_what_it_cannot(
    start, environment: dict[str, str], gateway: Gateway, tmp_path: Path
) -> None:
    del environment["BILLING_WORKERS"], environment["BILLING_HTTP_PORT"]
    file = tmp_path / "billing.toml"
    configure(file, "workers = 1\n[http]\nport = 0")
    service = await start(CONFIG=str(file)).ready()
    for number in (3, 2):
        configure(file, f"workers = {number}\n[http]\nport = 1")
        done = len(service.events("reloaded"))
        os.kill(service.pid, signal.SIGHUP)
        await eventually(lambda n=done: told(service, "reloaded"), done + 1)
        await eventually(lambda: gateway.consumers(QUEUES[0]), number)
        assert len(await workers(service)) == number
    warnings = service.events("some settings only change with a restart; the others are reloaded")
    assert [line["settings"] for line in warnings] == [["http.port"]] * 2
    configure(file, "workers = 1\n[http]\nport = 0\n[log]\nlevel = 'ERROR'")
    os.kill(service.pid, signal.SIGHUP)
    await eventually(lambda: gateway.consumers(QUEUES[0]), 1)
    configure(file, "workers = 1\n[http]\nport = 0\n[log]\nformat = 'console'")
    os.kill(service.pid, signal.SIGHUP)

    async def reloaded_for_people() -> bool:
        lines = service.log_text.splitlines()
        return any("reloaded" in line for line in lines if not line.startswith("{"))

    await eventually(reloaded_for_people)
    assert await told(service, "reloading") == 3, "the fourth time it was to keep quiet"
    assert await service.stop() == 0


async def test_hangups_while_reloading_are_one_more_reload(start, gateway: Gateway) -> None:
    service = await start().ready()
    with service.standing_still(1):  # so that it takes until then to be replaced
        os.kill(service.pid, signal.SIGHUP)
        await eventually(lambda: told(service, "reloading"), 1)
        for number in range(3):
            os.kill(service.pid, signal.SIGHUP)
            await eventually(lambda n=number: told(service, "signal"), number + 2)
        assert await told(service, "reloaded") == 0
    os.kill(service.pid, signal.SIGTTIN)
    await eventually(lambda: told(service, "scaled"), 1)
    assert await told(service, "reloading") == await told(service, "reloaded") == 2
    await eventually(lambda: gateway.consumers(QUEUES[0]), 3)
    assert await service.stop() == 0


async def test_stop_while_reloading(start, gateway: Gateway, traffic: Traffic) -> None:
    service = await start().ready()
    traffic.start()
    os.kill(service.pid, signal.SIGHUP)
    await eventually(lambda: has_started(service, 3))
    assert await service.stop() == 0
    pids = [line["pid"] for line in service.events("worker started")]
    assert await alive(pids) == []
    assert {line["unacknowledged"] for line in service.events("drained")} == {0}
    again = await start().ready()
    await traffic.all_settled()
    assert await again.stop() == 0


async def test_ttin_and_ttou_change_the_number_of_workers(
    start, gateway: Gateway, traffic: Traffic
) -> None:
    service = await start(WORKERS="1").ready()
    traffic.start()
    os.kill(service.pid, signal.SIGTTIN)
    await eventually(lambda: gateway.consumers(QUEUES[0]), 2)
    await eventually(lambda: workers(service), {"worker-1": True, "worker-2": True})
    os.kill(service.pid, signal.SIGTTOU)
    await eventually(lambda: told(service, "drained"), 2)
    await eventually(lambda: workers(service), {"worker-1": True})
    os.kill(service.pid, signal.SIGTTOU)
    await eventually(lambda: told(service, "not changed: there must be 1 to 256 workers"), 1)
    assert await gateway.consumers(QUEUES[0]) == 1
    await traffic.all_settled()
    assert [line["unacknowledged"] for line in service.events("drained")] == [0, 0]
    assert await service.stop() == 0


async def test_workers_are_deaf_to_what_is_the_supervisors_to_obey(start, gateway: Gateway) -> None:
    """A shell sends it to the whole job; sent so by a test, stops have no effect anyway."""
    service = await start(WORKERS="1").ready()
    assert blocked_signals(service.worker_pids[1]) == {
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGTTIN,
        signal.SIGTTOU,
    }
    assert await service.stop() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_ends_the_drain_at_once(
    start, gateway: Gateway, traffic: Traffic, second: signal.Signals
) -> None:
    service = await start().ready()
    traffic.start()
    await eventually(lambda: settling(service))
    for pid in service.worker_pids.values():
        os.kill(pid, signal.SIGSTOP)  # they hold messages, and can drain nothing
    await asyncio.sleep(0.5)
    os.kill(service.pid, signal.SIGTERM)
    await eventually(lambda: told(service, "draining"), 1)
    assert await service.stop(second) == ABANDONED
    assert [line["why"] for line in service.events("worker killed")] == ["second signal"] * 2
    assert await alive(service.worker_pids.values()) == []
    again = await start().ready()
    await traffic.all_settled()
    assert await again.stop() == 0


async def test_workers_drain_when_their_supervisor_is_killed(
    start, environment: dict[str, str], gateway: Gateway, traffic: Traffic, tmp_path: Path
) -> None:
    environment["TMPDIR"] = str(tmp_path)
    first = await start().ready()
    traffic.start()
    (left,) = run_directories(tmp_path)
    await eventually(lambda: settling(first))
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: alive(first.worker_pids.values()), [])
    assert len(first.events("the supervisor is gone; draining")) == 2
    assert [line["unacknowledged"] for line in first.events("drained")] == [0] * 4
    second = await start().ready()
    assert not left.exists()
    await traffic.all_settled()
    assert await second.stop() == 0
    assert run_directories(tmp_path) == []
