"""A worker process as its supervisor sees it."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiomultiprocess
import uvloop
from aiomultiprocess.types import Unit

from service import run_directory, worker
from service.pulse import Pulse

if TYPE_CHECKING:
    from service.settings import Settings

# Makes a worker write the stacks of its threads, whatever its event loop is at.
STACKS_SIGNAL: Final = signal.SIGUSR1
STACKS_SECONDS: Final = 2.0
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
# What is meant for the supervisor alone, but may reach its whole process group: from a terminal
# that is closed, or that is written to from the background.
DEAF_TO: Final = {signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU}


class WorkerProcess(aiomultiprocess.Process):  # type: ignore[misc]
    """Runs :func:`service.worker.run` on uvloop in a process of its own.

    It does without the manager process that aiomultiprocess starts to bring results back: a
    worker has none, and a manager would outlive a supervisor that is killed.
    """

    def __init__(self, settings: Settings, number: int, *, patient: bool) -> None:
        self.pulse = Pulse()
        self._gone = asyncio.Event()
        self.number = number
        self.unit = Unit(
            target=worker.run,
            args=(settings, number, self.pulse, os.getpid()),
            kwargs={"patient": patient},
            namespace=None,
            loop_initializer=uvloop.new_event_loop,
        )
        self.aio_process = aiomultiprocess.core.get_context().Process(
            target=_run_to_exit_code, args=(self.unit,), name=f"worker-{number}", daemon=True
        )

    def start(self) -> None:
        """Start it deaf to Ctrl-C and the like, which reach the whole process group.

        The supervisor alone answers to those; a blocked signal is inherited, so there is no
        moment at which the child could be interrupted.
        """
        run_directory.restore()
        signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)
        try:
            resource_tracker.ensure_running()  # a process too; starting it unblocks SIGINT
            signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, DEAF_TO)
        asyncio.get_running_loop().add_reader(self.aio_process.sentinel, self._on_end)

    async def ended(self) -> int:
        """Wait for its end without polling; return the exit code, negative for a signal."""
        await self._gone.wait()
        self.aio_process.join()
        _stacks_file(self.pid).unlink(missing_ok=True)
        return int(self.exitcode)

    @property
    def rss_bytes(self) -> int:
        """Resident memory, shared pages included; 0 where it cannot be told."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * PAGE_BYTES

    async def stacks(self) -> str:
        """Return the stacks of its threads, or why there are none."""
        file = _stacks_file(self.pid)
        if not file.exists():  # nor would it survive the signal
            return "none: the process is still loading"
        with suppress(ProcessLookupError):
            os.kill(self.pid, STACKS_SIGNAL)
        await asyncio.sleep(STACKS_SECONDS)
        return file.read_text(errors="replace") or f"none: the process is {_state(self.pid)}"

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self.aio_process.sentinel)
        self._gone.set()


def _run_to_exit_code(unit: Unit) -> None:
    """Run the coroutine in the child, and end with what it returned."""
    run_directory.hold()
    with _stacks_file(os.getpid()).open("w") as stacks:
        faulthandler.register(STACKS_SIGNAL, stacks, all_threads=True, chain=False)
        sys.exit(aiomultiprocess.Process.run_async(unit))


def _stacks_file(pid: int) -> Path:
    return run_directory.path() / f"stacks-{pid}.txt"


def _state(pid: int) -> str:
    """Describe a process by what Linux says of it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"
    names = {
        "T": "stopped by a signal",
        "t": "stopped by a debugger",
        "D": "waiting for a device",
        "Z": "dead",
    }
    return names.get(state, f"in state {state}")
