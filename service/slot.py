"""One place for a worker: keeps a process in it, and replaces one that dies or hangs."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from service import pulse, retry
from service.deaths import Deaths
from service.exits import Exit
from service.ops import collection, metrics
from service.process import WorkerProcess
from service.status.document import Worker, WorkerState
from service.status.headline import worker_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.settings import Settings

# How long a process may take to load before its event loop runs.
LOADING_SECONDS: Final = 60.0

log = structlog.get_logger()


class WorkerDied(Exception):
    """A worker ended that should not have."""


class Slot:
    """Keeps one worker alive until it is retired.

    Args:
        settings: those of its workers.
        number: which worker this is, from 1.
        on_death: is told the exit code of every worker that died unasked.
        is_patient: whether a worker now started waits out what would else be refused for good.
    """

    def __init__(
        self,
        settings: Settings,
        number: int,
        on_death: Callable[[Slot, int], None],
        is_patient: Callable[[], bool],
    ) -> None:
        self.number = number
        self.settings = settings
        self._on_death = on_death
        self._is_patient = is_patient
        self._deaths = Deaths()
        self._worker: WorkerProcess | None = None
        self._started = 0.0
        self._retired = asyncio.Event()
        self._has_consumed = False
        self._restarts = 0
        self._hangs = 0
        self.drained = True

    @property
    def ready(self) -> bool:
        """Whether its worker consumes and can write."""
        return self._worker is not None and self._worker.pulse.ready

    @property
    def circuit(self) -> str:
        """How its worker's circuit to PostgreSQL is: closed, half-open or open; or no worker."""
        if self._worker is None:
            return "no worker"
        return self._worker.pulse.circuit.name.lower().replace("_", "-")

    @property
    def status(self) -> Worker:
        """What its worker is at, for people."""
        told = Worker(
            number=self.number,
            state=WorkerState.MISSING,
            circuit=self.circuit,
            restarts=self._restarts,
            hangs=self._hangs,
        )
        if self._worker is None:
            return told
        age = time.monotonic() - self._started
        is_ending = self._retired.is_set()
        return msgspec.structs.replace(
            told,
            state=WorkerState.DRAINING if is_ending else worker_state(self._worker.pulse, age),
            pid=self._worker.pid,
            uptime_s=age,
            rss_bytes=self._worker.rss_bytes,
        )

    @property
    def has_consumed(self) -> bool:
        """Whether any worker in it ever has: what is refused after that may pass."""
        alive = self._worker is not None and self._worker.pulse.has_consumed
        return self._has_consumed or alive

    @property
    def crashes(self) -> bool:
        """Whether its workers do nothing but die, one after another."""
        age = time.monotonic() - self._started if self._worker is not None else 0.0
        return self._deaths.are_a_loop(age)

    def retire(self) -> None:
        """Let its worker drain, and start no other."""
        if not self._retired.is_set():
            self._retired.set()
            if self._worker is not None:
                self._worker.terminate()

    def kill(self) -> None:
        """End it at once; what its worker has not acknowledged is delivered again."""
        self.retire()
        if self._worker is not None:
            self._worker.kill()

    async def run(self) -> None:
        """Start a worker, and another when it dies, with backoff when they die young."""
        sleep = retry.unless_stopped(self._retired)
        with suppress(retry.Stopped):
            while not self._retired.is_set():
                async for attempt in retry.patiently(
                    f"worker-{self.number} died young", (WorkerDied,), sleep
                ):
                    with attempt:
                        await self._live()

    async def _live(self) -> None:
        """See one process through its life.

        Raises:
            WorkerDied: it died young; the next one should wait.
        """
        self._started = time.monotonic()
        worker = WorkerProcess(self.settings, self.number, patient=self._is_patient())
        try:
            worker.start()
        except OSError as error:  # no memory, no processes left
            raise WorkerDied(str(error)) from error
        self._worker = worker
        metrics.WORKERS.inc()
        log.info("worker started", worker=self.number, pid=worker.pid)
        watching = asyncio.create_task(self._watch(worker), name=f"watch-{worker.pid}")
        try:
            code = await worker.ended()
        finally:
            watching.cancel()
            self._worker = None
            self._has_consumed |= worker.pulse.has_consumed
            metrics.WORKERS.dec()
            collection.bury(worker.pid or 0)
        if self._retired.is_set():
            # One that was terminated while it was still loading had nothing to drain.
            self.drained = code in {Exit.OK, -signal.SIGTERM}
            if not self.drained:
                log.error("worker did not drain", worker=self.number, exit_code=code)
            return
        young = self._deaths.add(time.monotonic() - self._started)
        self._on_death(self, code)
        if self._retired.is_set():
            return
        metrics.WORKER_RESTARTS.inc()
        self._restarts += 1
        log.error("worker died; starting another", worker=self.number, exit_code=code)
        if young:
            raise WorkerDied(f"exit code {code}")

    async def _watch(self, worker: WorkerProcess) -> None:
        """Kill a worker whose event loop hangs, after its stacks have been told to the log.

        Silence is counted in our own wakings, so that a machine which stood still as a whole
        does not make all of its workers hang.
        """
        last, silent = worker.pulse.last, 0.0
        while True:
            await asyncio.sleep(pulse.INTERVAL_SECONDS)
            silent = silent + pulse.INTERVAL_SECONDS if worker.pulse.last == last else 0.0
            last = worker.pulse.last
            limit = self.settings.hang_timeout
            if silent >= (limit if last else max(limit, LOADING_SECONDS)):
                break
        stacks = await worker.stacks()
        log.critical(
            "worker hangs; killing it",
            worker=self.number,
            pid=worker.pid,
            silent_s=silent,
            stacks=stacks,
        )
        metrics.WORKER_HANGS.inc()
        self._hangs += 1
        worker.kill()
