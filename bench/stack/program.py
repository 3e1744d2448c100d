"""A program of ours as a child process: with a log, told to end, and missed when it ends."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from bench import PROJECT
from bench.stack.process import spawn

_STOP_SECONDS: Final = 15.0
_LOG_LINES: Final = 12


class ProgramFailed(Exception):
    """A program ended that should not have; the text has the end of its log."""


class Program:
    """Runs a command with ``variables`` in its environment, and no other BILLING_*.

    It has a session of its own, so that Ctrl-C does not reach it, and is sent SIGTERM when this
    process dies in whatever way. All that it says goes to ``log``.

    Args:
        name: what it is called when it fails.
        command: what is started.
        variables: of its environment.
        log: a file, which is emptied.
        directory: where it is started.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        variables: Mapping[str, str],
        log: Path,
        directory: Path = PROJECT,
    ) -> None:
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("BILLING_")}
        self.name = name
        self.log = log
        self.log.unlink(missing_ok=True)  # of the run before
        self._command = command
        self._variables = inherited | dict(variables)
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises ProgramFailed before a start."""
        if self._child is None:
            raise ProgramFailed(f"{self.name} has not been started")
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, and before that."""
        return self._child.poll() if self._child is not None else None

    def start(self) -> None:
        """Start it."""
        self._child = self._spawn(self._command)

    def check(self) -> None:
        """Raise ProgramFailed when it has ended."""
        if (code := self.exit_code) is not None:
            raise self._failure(self.name, code)

    async def stop(self) -> int:
        """Let it drain, and return its exit code; kill it when that takes more than 15 s."""
        if self._child is None:
            return 0
        self._child.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._child.wait, _STOP_SECONDS)
        if self._child.returncode is None or self._child.returncode < 0:
            with suppress(ProcessLookupError):  # children of one that cannot end them
                os.killpg(self._child.pid, signal.SIGKILL)
        return self._child.wait()

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        return spawn(
            command,
            directory=self._directory,
            log=self.log,
            variables=self._variables,
            end_with_us=signal.SIGTERM,
        )

    def _failure(self, what: str, code: int) -> ProgramFailed:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return ProgramFailed("\n".join([f"{what} ended with exit code {code}; its log:", *lines]))
