"""Keeps the service running as systemd would, and remembers how each of its lives ended."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import aiohttp

from bench.chaos.service import Life
from bench.stack.process import environment
from bench.stack.program import ProgramFailed

RESTART_SECONDS: Final = 1.0
DRAINED: Final = 0
ABANDONED: Final = 5
_POLL_SECONDS: Final = 0.1
_READY_SECONDS: Final = 90.0
_END_SECONDS: Final = 60.0


class Keeper:
    """Starts the service, and starts it again.

    Args:
        settings: the service's variables.
        directory: where the logs go, one for each life.
        code: the directory that has the package ``service``.

    Attributes:
        lives: every supervisor so far; the last one is the present one.
        problems: lives that ended in a way that they should not have.
    """

    def __init__(self, settings: Mapping[str, str], directory: Path, code: Path) -> None:
        self.lives: list[Life] = []
        self.problems: list[str] = []
        self._settings = dict(settings)
        self._directory = directory
        self._code = code
        self._busy = asyncio.Lock()
        self._is_over = False

    @property
    def life(self) -> Life:
        """The present supervisor."""
        return self.lives[-1]

    def start(self) -> None:
        """Start a supervisor."""
        log = self._directory / f"service-{len(self.lives) + 1}.log"
        self.lives.append(Life(self._settings, log, self._code))
        self.life.start()

    async def ready(self, http: aiohttp.ClientSession) -> None:
        """Wait until every worker consumes. Raises ProgramFailed when that takes too long."""
        deadline = time.monotonic() + _READY_SECONDS
        while not await self.is_ready(http):
            self.life.check()
            if time.monotonic() > deadline:
                raise ProgramFailed(f"billing-service is not ready after {_READY_SECONDS:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def is_ready(self, http: aiohttp.ClientSession) -> bool:
        """Ask /readyz."""
        if self.life.url is None:
            return False
        try:
            async with http.get(f"{self.life.url}/readyz") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def run(self) -> None:
        """Start it again whenever it ends by itself, until cancelled."""
        while True:
            async with self._busy:
                code = self.life.exit_code
                if code is not None and not self._is_over:
                    self.problems.append(
                        f"the supervisor ended by itself, exit code {code}: {self.life.log.name}"
                    )
                    await self._start_again()
            await asyncio.sleep(_POLL_SECONDS)

    async def kill(self) -> None:
        """Kill the supervisor, and only it; its workers have to notice."""
        async with self._busy:
            self.life.signal(signal.SIGKILL)
            await self._ended()
            await self._start_again()

    async def drain(self, seconds: float = RESTART_SECONDS) -> int:
        """Stop it in good order, and start it again after a time; return the exit code."""
        async with self._busy:
            code = await self._stop()
            await self._start_again(seconds)
            return code

    async def drain_for_good(self) -> int:
        """Stop it in good order, and do not start it again; return the exit code."""
        async with self._busy:
            self._is_over = True
            return await self._stop()

    async def _stop(self) -> int:
        self.life.signal(signal.SIGTERM)
        code = await self._ended()
        if code not in {DRAINED, ABANDONED}:
            self.problems.append(f"exit code {code} after SIGTERM: {self.life.log.name}")
        return code

    def run_command(self, dsn: str, *command: str) -> tuple[int, str]:
        """Run another command of the service on a database; return its exit code and output."""
        variables = self._settings | {"BILLING_DATABASE_URL": dsn}
        done = subprocess.run(
            [sys.executable, "-m", "service", *command],
            check=False,
            cwd=self._code,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    def kill_all(self) -> None:
        """Leave nothing of any life behind."""
        for life in self.lives:
            life.kill_group()

    async def _ended(self) -> int:
        deadline = time.monotonic() + _END_SECONDS
        while (code := self.life.exit_code) is None:
            if time.monotonic() > deadline:
                self.problems.append(f"no end within {_END_SECONDS:.0f} s: {self.life.log.name}")
                self.life.kill_group()
            await asyncio.sleep(_POLL_SECONDS)
        return code

    async def _start_again(self, seconds: float = RESTART_SECONDS) -> None:
        await asyncio.sleep(seconds)
        self.start()
