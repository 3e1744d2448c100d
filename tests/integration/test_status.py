"""What the status page is made of, from a running service, and the same in a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import signal
import time
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from service.exits import Exit
from service.status.document import Status, WorkerState
from tests.support.gateway import Gateway, Publication, bill, dlr
from tests.support.service import (
    TIMEOUT,
    Service,
    clean_environment,
    command,
    eventually,
    run_to_end,
)

AT_WORK = {"Settling", "Idle"}  # on a machine that is slow, all may have been done a while ago
RUBBISH = Publication("messaging", "dlr.deliver_sm", b"no JSON at all")


async def status(service: Service) -> Status:
    return msgspec.json.decode((await service.get("/status.json")).content, type=Status)


async def settled(service: Service) -> tuple[int, int]:
    streams = (await status(service)).streams
    return streams["dlr"].settled, streams["bill"].settled


async def test_it_says_what_was_settled_and_by_whom(start, gateway: Gateway) -> None:
    service = await start().ready()
    messages = [str(number) for number in range(30)]
    await gateway.add_cdrs(messages)
    await gateway.publish(dlr(message, "DELIVRD") for message in messages[:20])
    await gateway.publish(dlr(message, "UNDELIV") for message in messages[20:])
    await gateway.publish([*(bill(m, f"b-{m}") for m in messages), RUBBISH])
    await eventually(lambda: settled(service), (31, 30))
    found = await status(service)
    assert found.headline.title in AT_WORK
    assert {name: tally.total for name, tally in found.statuses.items()} == {
        "delivered": 20,
        "failed": 10,
        "submitted": 30,
    }
    receipts = found.streams["dlr"]
    assert receipts.outcomes == {"applied": 30, "refused": 1}
    assert receipts.dead_letters == {"malformed": 1}
    assert max(found.history.rates["dlr"]) > 0
    assert receipts.commit is not None
    assert receipts.commit.p50 <= receipts.commit.p99
    assert sum(receipts.flushed_by.values()) == pytest.approx(1)
    assert [(worker.state, worker.pid) for worker in found.workers] == [
        (WorkerState.READY, pid) for _, pid in sorted(service.worker_pids.items())
    ]
    assert all(worker.rss_bytes > 2**20 for worker in found.workers)

    os.kill(service.worker_pids[1], signal.SIGKILL)
    await eventually(lambda: restarts(service), [1, 0])
    assert await settled(service) == (31, 30)
    assert min((await status(service)).history.rates["dlr"]) >= 0
    assert await service.stop() == 0


async def restarts(service: Service) -> list[int]:
    return [worker.restarts for worker in (await status(service)).workers]


async def test_it_says_that_the_database_is_away_and_what_is_held(
    start, gateway: Gateway, database_link
) -> None:
    service = await start().ready()
    database_link.refusing = True
    database_link.cut()
    await gateway.publish(dlr(str(number), "DELIVRD") for number in range(40))

    async def says() -> tuple[str, bool]:
        headline = (await status(service)).headline
        return headline.title, headline.detail.startswith("holding 40 events")

    await eventually(says, ("Database away", True))
    database_link.refusing = False
    await service.ready()
    await eventually(lambda: settled(service), (40, 0))
    assert await service.stop() == 0


async def test_the_page_is_guarded_and_only_to_be_read(start, gateway: Gateway) -> None:
    service = await start().ready()
    for path in ("/", "/status.css", "/status.js", "/icon.svg", "/status.json"):
        answer = await service.get(path)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    async with httpx.AsyncClient() as client:
        assert (await client.post(f"{service.url}/status.json")).status_code == 405
    assert (await service.get("/page")).status_code == 404
    assert await service.stop() == 0


async def test_those_who_watch_do_not_keep_it_from_ending(start, gateway: Gateway) -> None:
    service = await start().ready()
    answered: set[int] = set()
    async with httpx.AsyncClient() as client:

        async def watch(number: int) -> None:
            while True:
                await client.get(f"{service.url}/status.json")
                answered.add(number)

        async def all_watch() -> bool:
            return len(answered) == len(watchers)

        watchers = [asyncio.create_task(watch(number)) for number in range(5)]
        await eventually(all_watch)
        began = time.monotonic()
        assert await service.stop() == 0
        assert time.monotonic() - began < 30  # half of what the HTTP server would wait for them
        await asyncio.gather(*watchers, return_exceptions=True)


# In a terminal


@pytest.fixture
async def watched(start, gateway: Gateway) -> AsyncIterator[Service]:
    """A service that has settled 12 receipts."""
    service = await start().ready()
    await gateway.add_cdrs(["one"])
    await gateway.publish(dlr("one", "DELIVRD") for _ in range(12))
    await eventually(lambda: settled(service), (12, 0))
    yield service
    assert await service.stop() == 0


async def test_top_shows_it_once(watched: Service) -> None:
    done = run_to_end("top", "--once", "--url", watched.url, environment={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.match("[✔●] (Settling|Idle) for ", lines[0])
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in done.stdout
    assert re.search(r"^settled +12 +0 ", done.stdout, re.MULTILINE)
    assert re.search(r"^worker-2 +ready +closed ", done.stdout, re.MULTILINE)
    as_json = run_to_end("top", "--json", "--url", watched.url, environment={})
    assert msgspec.json.decode(as_json.stdout, type=Status).streams["dlr"].settled == 12


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "ctrl-c"])
async def test_top_in_a_terminal_ends_with(watched: Service, key: bytes) -> None:
    """Ctrl-C is made a signal by the terminal itself."""
    ours, theirs = pty.openpty()
    top = await asyncio.create_subprocess_exec(
        *("setsid", "--ctty", *command("top", "--url", watched.url)),
        env=clean_environment({"TERM": "xterm", "COLUMNS": "80", "LINES": "30"}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = await asyncio.to_thread(read_until, ours, "worker-2")
    assert "2 of 2 workers ready" in shown
    os.write(ours, key)
    assert await asyncio.wait_for(top.wait(), TIMEOUT) == 0
    assert "Traceback" not in read_until(ours, None)
    os.close(ours)


def read_until(terminal: int, text: str | None) -> str:
    """Read from a terminal until it has shown a text, or is closed."""
    shown = ""
    deadline = time.monotonic() + TIMEOUT
    while text is None or text not in shown:
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 65_536).decode(errors="replace")
            except OSError:  # nobody has the other end any more
                break
    return shown


def test_top_says_when_nothing_answers(closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    done = run_to_end("top", "--url", url, environment={})
    assert (done.returncode, done.stdout) == (Exit.CANNOT_START, "")
    assert f"nothing answers at {url}; is the service running?" in done.stderr
    assert "http.port" in done.stderr
