"""Starts, watches and stops the worker processes; serves their metrics and health."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from service import retry
from service.exits import Exit
from service.ops import metrics
from service.ops.http import HttpServer
from service.process import WorkerProcess

if TYPE_CHECKING:
    from service.settings import Settings

# A worker that lived this long was well; its successor starts without delay.
WELL_SECONDS = 60.0

log = structlog.get_logger()


class WorkerDied(Exception):
    """A worker ended that should not have."""


class Supervisor:
    """Keeps the configured number of workers alive until a signal says otherwise."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._workers: dict[int, WorkerProcess] = {}
        self._exit = Exit.OK
        self._has_consumed = False

    async def run(self) -> Exit:
        """Run until SIGTERM or SIGINT, or until a worker says that it can never start.

        Returns:
            The exit code: OK after a complete drain.
        """
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._on_signal, signum)
        async with HttpServer(self._settings.http, ready=self.ready) as http:
            log.info("starting", workers=self._settings.workers, http=http.url)
            async with asyncio.TaskGroup() as tasks:
                for number in range(1, self._settings.workers + 1):
                    tasks.create_task(self._keep_alive(number), name=f"worker-{number}")
                tasks.create_task(self._end_workers(), name="shutdown")
        log.info("stopped", exit_code=int(self._exit))
        return self._exit

    def ready(self) -> dict[str, bool]:
        """Return, for each worker wanted, whether it consumes and can write."""
        return {
            f"worker-{number}": number in self._workers and self._workers[number].pulse.ready
            for number in range(1, self._settings.workers + 1)
        }

    def _has_run(self) -> bool:
        """Whether any worker has ever consumed: what is refused after that may pass."""
        alive = any(worker.pulse.has_consumed for worker in self._workers.values())
        return alive or self._has_consumed

    def _on_signal(self, signum: signal.Signals) -> None:
        log.info("draining", signal=signum.name)
        self._stop.set()

    async def _keep_alive(self, number: int) -> None:
        """Start a worker, and another when it dies, with backoff when they die young."""
        sleep = retry.unless_stopped(self._stop)
        with suppress(retry.Stopped):
            while not self._stop.is_set():
                async for attempt in retry.patiently(
                    f"worker-{number} died young", (WorkerDied,), sleep
                ):
                    with attempt:
                        await self._live(number)

    async def _live(self, number: int) -> None:
        """See one process through its life.

        Raises:
            WorkerDied: it died young; the next one should wait.
        """
        started = time.monotonic()
        worker = WorkerProcess(self._settings, number)
        try:
            worker.start()
        except OSError as error:  # no memory, no processes left
            raise WorkerDied(str(error)) from error
        self._workers[number] = worker
        metrics.WORKERS.inc()
        log.info("worker started", worker=number, pid=worker.pid)
        code = await worker.ended()
        metrics.WORKERS.dec()
        del self._workers[number]
        self._has_consumed |= worker.pulse.has_consumed
        metrics.forget_process(worker.pid or 0)
        if self._stop.is_set():
            # One that was terminated while it was still loading had nothing to drain.
            if code not in {Exit.OK, -signal.SIGTERM} and self._exit is Exit.OK:
                log.error("worker did not drain", worker=number, exit_code=code)
                self._exit = Exit.ABANDONED
        elif code == Exit.CANNOT_START and not self._has_run():
            log.critical("worker cannot start; see its last line above", worker=number)
            self._exit = Exit.CANNOT_START
            self._stop.set()
        else:
            metrics.WORKER_RESTARTS.inc()
            log.error("worker died; starting another", worker=number, exit_code=code)
            if time.monotonic() - started < WELL_SECONDS:
                raise WorkerDied(f"exit code {code}")

    async def _end_workers(self) -> None:
        """On stop, let the workers drain; kill those that take too long."""
        await self._stop.wait()
        draining = list(self._workers.values())
        for worker in draining:
            worker.terminate()
        ends = [asyncio.create_task(worker.ended()) for worker in draining]
        if ends:
            await asyncio.wait(ends, timeout=self._settings.shutdown_timeout)
        for worker in self._workers.values():
            log.error("worker killed: out of time to drain", worker=worker.number, pid=worker.pid)
            worker.kill()
