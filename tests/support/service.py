"""The service as a user runs it: a process, its log, its HTTP port."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

# Patience with a machine that is slow: what is waited for usually comes within a second.
TIMEOUT = 90.0


async def eventually(
    check: Callable[[], Awaitable[Any]], expected: Any = True, timeout: float = TIMEOUT
) -> None:
    """Wait until ``check`` returns what is expected; fail with what it returned last."""
    deadline = time.monotonic() + timeout
    while (found := await check()) != expected:
        assert time.monotonic() < deadline, f"still {found!r}, not {expected!r}"
        await asyncio.sleep(0.05)


def command(*args: str) -> list[str]:
    """Return the command line of the service."""
    return [sys.executable, "-m", "service", *args]


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this environment without settings of its own, plus ``extra``."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("BILLING_")}
    return inherited | dict(extra)


def run_to_end(
    *args: str, environment: Mapping[str, str], timeout: float = TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Run a command of the service and wait for its end."""
    return subprocess.run(
        command(*args),
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Service:
    """A running ``billing-service run``."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command("run"),
                env=clean_environment(self._environment),
                stderr=log,
                start_new_session=True,
            )
        return self

    async def ready(self) -> Self:
        """Wait until every worker consumes and can write."""

        async def is_ready() -> bool:
            assert self.exit_code is None, self.log_text
            return self.url is not None and (await self.get("/readyz")).status_code == 200

        await eventually(is_ready)
        return self

    async def stop(self, signum: int = signal.SIGTERM, timeout: float = TIMEOUT) -> int:
        """Signal it and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signum)
        return await self.ended(timeout)

    async def ended(self, timeout: float = TIMEOUT) -> int:
        """Wait for its end; return the exit code."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, timeout)

    def kill_all(self) -> None:
        """Kill it with its workers, if it still runs."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    @property
    def log_text(self) -> str:
        return self._log.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log, a dict a line."""
        complete = self.log_text.rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in complete if line.startswith("{")]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one kind."""
        return [line for line in self.lines if line["event"] == name]

    async def consumed(self) -> int:
        """How many messages have been settled so far, by the log."""
        return sum(line["size"] for line in self.events("batch"))

    @property
    def worker_pids(self) -> dict[int, int]:
        """The newest process of each worker."""
        return {line["worker"]: line["pid"] for line in self.events("worker started")}

    @contextmanager
    def standing_still(self, *workers: int) -> Iterator[None]:
        """Let these workers, by default all, do nothing meanwhile."""
        processes = self.worker_pids
        pids = [processes[number] for number in workers or processes]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @property
    def url(self) -> str | None:
        starting = self.events("starting")
        return starting[0]["http"] if starting else None

    async def get(self, path: str) -> httpx.Response:
        # Unverified: to load the authorities each time takes longer than the answer.
        async with httpx.AsyncClient(timeout=TIMEOUT, verify=False) as client:
            return await client.get(f"{self.url}{path}")

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels."""
        text = (await self.get("/metrics")).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
