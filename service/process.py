"""A worker process as its supervisor sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

import aiomultiprocess
import uvloop
from aiomultiprocess.types import Unit

from service import worker
from service.pulse import Pulse

if TYPE_CHECKING:
    from service.settings import Settings


class WorkerProcess(aiomultiprocess.Process):  # type: ignore[misc]
    """Runs :func:`service.worker.run` on uvloop in a process of its own.

    It does without the manager process that aiomultiprocess starts to bring results back: a
    worker has none, and a manager would outlive a supervisor that is killed.
    """

    def __init__(self, settings: Settings, number: int) -> None:
        self.pulse = Pulse()
        self._gone = asyncio.Event()
        self.number = number
        self.unit = Unit(
            target=worker.run,
            args=(settings, number, self.pulse, os.getpid()),
            kwargs={},
            namespace=None,
            loop_initializer=uvloop.new_event_loop,
        )
        self.aio_process = aiomultiprocess.core.get_context().Process(
            target=_run_to_exit_code, args=(self.unit,), name=f"worker-{number}", daemon=True
        )

    def start(self) -> None:
        """Start it deaf to Ctrl-C, which reaches the whole process group of a terminal.

        The supervisor alone answers to that; a blocked signal is inherited, so there is no
        moment at which the child could be interrupted.
        """
        resource_tracker.ensure_running()  # starting it on the way would lift the block
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        asyncio.get_running_loop().add_reader(self.aio_process.sentinel, self._on_end)

    async def ended(self) -> int:
        """Wait for its end without polling; return the exit code, negative for a signal."""
        await self._gone.wait()
        self.aio_process.join()
        return int(self.exitcode)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self.aio_process.sentinel)
        self._gone.set()


def _run_to_exit_code(unit: Unit) -> None:
    """Run the coroutine in the child, and end with what it returned."""
    sys.exit(aiomultiprocess.Process.run_async(unit))
