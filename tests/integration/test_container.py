"""The service as a container runs it: as process 1, on a root that is read-only."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from bench import PROJECT
from service.exits import Exit
from tests.support.service import TIMEOUT, clean_environment, command, eventually

HEALTHY = PROJECT / "config/docker/healthy.py"
# Namespaces of its own, for which a user who is not root needs one of users, too.
UNSHARE = [
    "unshare",
    *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]),
    *("--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
]
# Not on /tmp itself: that is where this project may be.
CONFINED = "mount -t tmpfs tmpfs {} && mount -o remount,bind,ro / && exec setpriv {} {}"
NO_PRIVILEGES = "--no-new-privs --bounding-set -all --inh-caps -all"


class Container:
    """``billing-service run`` as process 1 of its own namespaces."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self._log = log = directory / "container.log"
        writable = directory / "writable"
        writable.mkdir()
        run = shlex.join(command("run"))
        confined = CONFINED.format(shlex.quote(str(writable)), NO_PRIVILEGES, run)
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [*UNSHARE, "sh", "-c", confined],
                env=clean_environment({**environment, "TMPDIR": str(writable)}),
                stdout=stream,
                stderr=stream,
            )

    @property
    def log_text(self) -> str:
        return self._log.read_text()

    @property
    def port(self) -> int | None:
        """Where it listens, once it does."""
        said = re.search(r'"http": ?"http://127\.0\.0\.1:(\d+)"', self.log_text)
        return int(said[1]) if said else None

    @property
    def workers(self) -> list[int]:
        """The children of process 1, the youngest last, by their numbers outside."""
        return _children(self._init)

    @property
    def _init(self) -> int:
        (init,) = _children(self._process.pid)
        return init

    @property
    def hears_sigterm(self) -> bool:
        """Whether process 1 has a handler for it."""
        if not (inits := _children(self._process.pid)):
            return False
        status = Path(f"/proc/{inits[0]}/status").read_text()
        (caught,) = re.findall(r"^SigCgt:\t([0-9a-f]+)$", status, re.MULTILINE)
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    def stop(self, timeout: float = TIMEOUT) -> int:
        """Send SIGTERM to process 1 as Docker does; return the exit code."""
        os.kill(self._init, signal.SIGTERM)
        return self._process.wait(timeout)

    def kill(self) -> None:
        """Kill all of it."""
        self._process.kill()
        self._process.wait()


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def container(environment: dict[str, str], tmp_path: Path) -> Iterator[Container]:
    container = Container(environment, tmp_path)
    yield container
    container.kill()


async def test_it_does_its_duties_as_process_1_on_a_read_only_root(container: Container) -> None:
    async def listens() -> bool:
        return container.port is not None

    async def is_ready() -> bool:
        try:
            return (await http.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def has_another_worker() -> bool:
        return len(container.workers) == len(before) and before[-1] not in container.workers

    await eventually(listens)
    port = container.port
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        await eventually(is_ready)
        assert await probe("/healthz", port) == await probe("/readyz", port) == 0
        before = container.workers
        os.kill(before[-1], signal.SIGKILL)
        await eventually(has_another_worker)  # the dead one was waited for, too
        await eventually(is_ready)
    assert container.stop() == 0, container.log_text
    assert "Read-only" not in container.log_text


async def test_it_hears_sigterm_before_it_has_loaded(container: Container) -> None:
    await eventually(lambda: hears_sigterm(container))
    assert container.stop(timeout=20) == Exit.TERMINATED


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3, 1])
async def test_it_ends_at_any_moment_of_loading(container: Container, seconds: float) -> None:
    await eventually(lambda: hears_sigterm(container))
    await asyncio.sleep(seconds)
    assert container.stop(timeout=20) in {Exit.OK, Exit.TERMINATED}, container.log_text
    assert "Traceback" not in container.log_text


@pytest.mark.parametrize("event", ["starting", "worker started", "consuming"])
async def test_it_ends_while_it_begins_to_work(container: Container, event: str) -> None:
    async def has_begun() -> bool:
        return f'"event":"{event}"' in container.log_text

    await eventually(has_begun)
    assert container.stop(timeout=20) == Exit.OK, container.log_text
    assert "Traceback" not in container.log_text


async def hears_sigterm(container: Container) -> bool:
    return container.hears_sigterm


async def probe(path: str, port: int) -> int:
    """Ask as Docker does; return the exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, HEALTHY, path, env={"BILLING_HTTP_PORT": str(port)}
    )
    return await process.wait()
