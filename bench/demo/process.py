"""billing-service as a child process on the private servers."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bench import PROJECT
from bench.stack.process import spawn

_STOP_SECONDS = 15.0
_LOG_LINES = 12


class ServiceFailed(Exception):
    """billing-service ended that should not have; the text has the end of its log."""


class ServiceProcess:
    """Runs ``billing-service`` with ``settings`` (its BILLING_* variables) and no others.

    It has a session of its own, so that Ctrl-C reaches only the demonstration, and is told to
    drain when the demonstration dies in whatever way. All that it says goes to ``log``. The
    package that runs is the one found in ``code``.
    """

    def __init__(self, settings: Mapping[str, str], log: Path, code: Path = PROJECT) -> None:
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("BILLING_")}
        self._variables = inherited | dict(settings)
        self._child: subprocess.Popen[bytes] | None = None
        self._code = code
        self.log = log
        self.log.unlink(missing_ok=True)  # of the run before

    def migrate(self) -> None:
        """Create or update the tables. Raises ServiceFailed."""
        code = self._spawn("migrate").wait()
        if code != 0:
            raise self._failure("billing-service migrate", code)

    def start(self) -> None:
        """Start the supervisor, which starts the workers."""
        self._child = self._spawn("run")

    def check(self) -> None:
        """Raise ServiceFailed when the supervisor has ended."""
        if self._child is not None and (code := self._child.poll()) is not None:
            raise self._failure("billing-service", code)

    async def stop(self) -> int:
        """Let it drain, and return its exit code; kill it when that takes more than 15 s."""
        if self._child is None:
            return 0
        self._child.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._child.wait, _STOP_SECONDS)
        if self._child.returncode is None or self._child.returncode < 0:
            with suppress(ProcessLookupError):  # workers of a supervisor that cannot end them
                os.killpg(self._child.pid, signal.SIGKILL)
        return self._child.wait()

    def _spawn(self, command: str) -> subprocess.Popen[bytes]:
        return spawn(
            [sys.executable, "-m", "service", command],
            directory=self._code,
            log=self.log,
            variables=self._variables,
            end_with_us=signal.SIGTERM,
        )

    def _failure(self, what: str, code: int) -> ServiceFailed:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return ServiceFailed("\n".join([f"{what} ended with exit code {code}; its log:", *lines]))
