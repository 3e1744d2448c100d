"""What can happen to the service and to what it depends on, one function each."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

from bench.chaos.gateway import AWAY
from bench.chaos.keeper import ABANDONED, DRAINED
from bench.chaos.proxy import Proxy
from bench.chaos.rig import Rig
from bench.chaos.service import Life, send
from bench.stack import Server, StackError

Target = Literal["service", "broker", "database"]
Strike = Callable[[Rig, float], Awaitable[str]]

_STARTED_SECONDS: Final = 30.0
_OURS: Final = "billing-service"
_QUEUES: Final = {
    "messaging": "billing_service.dlr",
    "billing": "billing_service.submit_sm_resp",
}


class Fault(NamedTuple):
    """One kind of misfortune.

    Attributes:
        name: what happened.
        target: what it happens to; two at once never hit the same.
        strike: does it, for so many seconds where it lasts, and mends it; says what was hit.
        lasts: whether the seconds mean anything to it.
        heals_slowly: the service notices at its next look only, up to a minute later.
    """

    name: str
    target: Target
    strike: Strike
    lasts: bool = True
    heals_slowly: bool = False


async def _kill_worker(rig: Rig, _seconds: float) -> str:
    number, pid = _any_worker(rig)
    send(pid, signal.SIGKILL)
    return f"worker {number}"


async def _pause_worker(rig: Rig, seconds: float) -> str:
    number, pid = _any_worker(rig)
    with _paused([pid]):
        await asyncio.sleep(seconds)
    return f"worker {number}"


async def _kill_supervisor(rig: Rig, _seconds: float) -> str:
    await rig.keeper.kill()
    return ""


async def _drain_supervisor(rig: Rig, _seconds: float) -> str:
    await _started(rig)
    code = await rig.keeper.drain()
    return {DRAINED: "drained", ABANDONED: "out of time"}.get(code, f"exit code {code}")


async def _reload(rig: Rig, _seconds: float) -> str:
    (await _started(rig)).signal(signal.SIGHUP)
    return ""


async def _scale(rig: Rig, seconds: float) -> str:
    life = await _started(rig)
    life.signal(signal.SIGTTIN)
    await asyncio.sleep(seconds)
    life.signal(signal.SIGTTOU)
    return "one worker more"


async def _pause_broker(rig: Rig, seconds: float) -> str:
    with _paused([rig.stack.rabbitmq.pid]):
        await asyncio.sleep(seconds)
    return ""


async def _close_connections(rig: Rig, _seconds: float) -> str:
    connections = await _ask(rig, "GET", "/connections") or []
    names = [
        connection["name"]
        for connection in connections
        if str(connection.get("user_provided_name", "")).startswith(_OURS)
    ]
    closed = 0
    for name in names:
        with suppress(StackError):  # it is told of some that have ended since
            await _ask(rig, "DELETE", f"/connections/{quote(name, safe='')}")
            closed += 1
    if not closed:
        raise StackError("the service has no connection")
    return f"{closed} connections"


async def _delete_binding(rig: Rig, _seconds: float) -> str:
    exchange, queue = rig.dice.choice(list(_QUEUES.items()))
    path = f"/bindings/%2F/e/{exchange}/q/{queue}"
    bindings = await _ask(rig, "GET", path)
    if not bindings:
        raise StackError("there is no binding")
    for binding in bindings:
        await _ask(rig, "DELETE", f"{path}/{quote(binding['properties_key'], safe='')}")
    return exchange


async def _delete_exchange(rig: Rig, _seconds: float) -> str:
    exchange = rig.dice.choice(list(_QUEUES))
    await _ask(rig, "DELETE", f"/exchanges/%2F/{exchange}")
    return exchange


async def _pause_database(rig: Rig, seconds: float) -> str:
    pids = _family(rig.stack.postgres.pid)
    with _paused(pids):
        await asyncio.sleep(seconds)
    return f"{len(pids)} processes"


async def _terminate_backends(rig: Rig, _seconds: float) -> str:
    connection = await rig.connect()
    try:
        ended = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE $1 || '%'",
            _OURS,
        )
    finally:
        connection.terminate()
    return f"{len(ended)} backends"


def _restart(which: Target) -> Strike:
    async def strike(rig: Rig, _seconds: float) -> str:
        await asyncio.to_thread(_server(rig, which).restart)
        return ""

    return strike


def _kill(which: Target) -> Strike:
    async def strike(rig: Rig, seconds: float) -> str:
        server = _server(rig, which)
        await asyncio.to_thread(server.kill)
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(server.start)
        return ""

    return strike


def _cut(which: Target) -> Strike:
    async def strike(rig: Rig, seconds: float) -> str:
        proxy = _proxy(rig, which)
        proxy.refusing = True
        proxy.cut()
        try:
            await asyncio.sleep(seconds)
        finally:
            proxy.refusing = False
        return ""

    return strike


def _blackhole(which: Target) -> Strike:
    async def strike(rig: Rig, seconds: float) -> str:
        proxy = _proxy(rig, which)
        forgotten = rig.dice.random() < 0.5
        proxy.blackhole()
        try:
            await asyncio.sleep(seconds)
            if forgotten:
                proxy.cut()
        finally:
            proxy.resume()
        return "connections lost" if forgotten else "connections kept"

    return strike


def _slow(which: Target) -> Strike:
    async def strike(rig: Rig, seconds: float) -> str:
        proxy = _proxy(rig, which)
        proxy.slow = True
        try:
            await asyncio.sleep(seconds)
        finally:
            proxy.slow = False
        return ""

    return strike


FAULTS: Final = (
    Fault("worker killed", "service", _kill_worker, lasts=False),
    Fault("worker paused", "service", _pause_worker),
    Fault("supervisor killed", "service", _kill_supervisor, lasts=False),
    Fault("supervisor drained", "service", _drain_supervisor, lasts=False),
    Fault("settings reloaded", "service", _reload, lasts=False),
    Fault("scaled up and down", "service", _scale),
    Fault("broker restarted", "broker", _restart("broker"), lasts=False),
    Fault("broker killed", "broker", _kill("broker")),
    Fault("broker paused", "broker", _pause_broker),
    Fault("broker connections closed", "broker", _close_connections, lasts=False),
    Fault("binding deleted", "broker", _delete_binding, lasts=False, heals_slowly=True),
    Fault("exchange deleted", "broker", _delete_exchange, lasts=False, heals_slowly=True),
    Fault("broker cut off", "broker", _cut("broker")),
    Fault("broker silent", "broker", _blackhole("broker")),
    Fault("broker slow", "broker", _slow("broker")),
    Fault("database restarted", "database", _restart("database"), lasts=False),
    Fault("database killed", "database", _kill("database")),
    Fault("database paused", "database", _pause_database),
    Fault("backends terminated", "database", _terminate_backends, lasts=False),
    Fault("database cut off", "database", _cut("database")),
    Fault("database silent", "database", _blackhole("database")),
    Fault("database slow", "database", _slow("database")),
)

# What a fault may run into because of another one, or of the last one's traces.
MISSED: Final = (*AWAY, StackError)


def _proxy(rig: Rig, which: Target) -> Proxy:
    return rig.broker if which == "broker" else rig.database


def _server(rig: Rig, which: Target) -> Server:
    return rig.stack.rabbitmq if which == "broker" else rig.stack.postgres


async def _started(rig: Rig) -> Life:
    """Return the present supervisor, once it obeys signals."""
    deadline = time.monotonic() + _STARTED_SECONDS
    while rig.keeper.life.url is None:
        if time.monotonic() > deadline:
            raise StackError("the supervisor has not started")
        await asyncio.sleep(0.1)
    return rig.keeper.life


def _any_worker(rig: Rig) -> tuple[int, int]:
    workers = rig.keeper.life.workers
    if not workers:
        raise StackError("no worker has been started yet")
    return rig.dice.choice(sorted(workers.items()))


async def _ask(rig: Rig, method: str, path: str) -> Any:
    return await asyncio.to_thread(rig.stack.rabbitmq.api, method, path)


@contextmanager
def _paused(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        send(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            send(pid, signal.SIGCONT)


def _family(pid: int) -> list[int]:
    """Return a process and its children, the parent first."""
    os.kill(pid, 0)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]
