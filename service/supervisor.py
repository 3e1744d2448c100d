"""Starts, watches and stops the workers; obeys signals; serves metrics, health and status."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import structlog

from service.config import ConfigError
from service.exits import Exit
from service.ops import log as logs
from service.ops.http import HttpServer
from service.settings import MAX_WORKERS, Http
from service.slot import Slot
from service.status.monitor import Monitor

if TYPE_CHECKING:
    from service.settings import Settings
    from service.status.document import Worker

ENDING: Final = (signal.SIGTERM, signal.SIGINT)
OBEYED: Final = (*ENDING, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)
# How long a worker with new settings may take to consume before the old one is kept.
SUCCESSION_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1

log = structlog.get_logger()


class Supervisor:
    """Keeps the wanted number of workers alive until a signal says otherwise.

    Args:
        settings: those to begin with.
        load: reads and validates them again, for SIGHUP; raises ConfigError.
    """

    def __init__(self, settings: Settings, load: Callable[[], Settings]) -> None:
        self._settings = settings
        self._load = load
        self._signals: asyncio.Queue[signal.Signals | None] = asyncio.Queue()
        self._changes: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._reload_waits = False
        self._slots: dict[int, Slot] = {}
        self._lives: dict[Slot, asyncio.Task[None]] = {}
        self._draining = False
        self._exit = Exit.OK

    async def run(self) -> Exit:
        """Run until SIGTERM or SIGINT, or until going on is of no use.

        Returns:
            The exit code: OK after a complete drain.
        """
        loop = asyncio.get_running_loop()
        for signum in OBEYED:
            loop.add_signal_handler(signum, self._signals.put_nowait, signum)
        async with (
            Monitor(lambda: self._settings, self.workers, lambda: self._draining) as monitor,
            HttpServer(self._settings.http, self.ready, self.circuits, monitor.status) as http,
        ):
            log.info("starting", workers=self._settings.workers, http=http.url)
            self._warn_of_exposure()
            async with asyncio.TaskGroup() as tasks:
                for number in range(1, self._settings.workers + 1):
                    self._slots[number] = self._open(tasks, number, self._settings)
                await self._obey(tasks)
                await self._drain()
        log.info("stopped", exit_code=int(self._exit))
        return self._exit

    def _warn_of_exposure(self) -> None:
        """Say once which links to other hosts are not protected by a verified TLS session."""
        links = {
            "jasmin.amqp_tls": self._settings.jasmin.is_exposed,
            "sslmode=verify-full in database.url": self._settings.database.is_exposed,
        }
        exposed = [remedy for remedy, is_exposed in links.items() if is_exposed]
        if exposed:
            log.warning("links to other hosts can be read or forged on the way", set=exposed)

    def ready(self) -> dict[str, bool]:
        """Return, for each worker wanted, whether it consumes and can write."""
        return {f"worker-{number}": slot.ready for number, slot in sorted(self._slots.items())}

    def circuits(self) -> dict[str, str]:
        """Return how each worker's circuit to PostgreSQL is."""
        return {f"worker-{number}": slot.circuit for number, slot in sorted(self._slots.items())}

    def workers(self) -> list[Worker]:
        """Return what each worker wanted is at."""
        return [slot.status for _, slot in sorted(self._slots.items())]

    async def _obey(self, tasks: asyncio.TaskGroup) -> None:
        """Do what signals say, until it is time to stop."""
        changing = tasks.create_task(self._change(tasks), name="changes")
        while (signum := await self._signals.get()) is not None:
            log.info("signal", signal=signum.name)
            if signum in ENDING:
                break
            if signum is signal.SIGHUP and self._reload_waits:
                continue
            self._reload_waits |= signum is signal.SIGHUP
            self._changes.put_nowait(signum)
        changing.cancel()

    async def _change(self, tasks: asyncio.TaskGroup) -> None:
        """Do what changes the workers, one after another, each on what the last one has left."""
        while True:
            signum = await self._changes.get()
            if signum is signal.SIGHUP:
                self._reload_waits = False  # what comes from here on asks for another one
                await self._reload(tasks)
            else:
                self._scale(tasks, +1 if signum is signal.SIGTTIN else -1)

    async def _drain(self) -> None:
        """Let all workers drain; kill those that take too long, or all at a second signal."""
        log.info("draining", workers=len(self._lives))
        self._draining = True
        for slot in self._lives:
            slot.retire()
        impatience = asyncio.create_task(self._second_signal(), name="impatience")
        ends = asyncio.gather(*self._lives.values())
        either: set[asyncio.Future[Any]] = {ends, impatience}
        timeout = self._settings.shutdown_timeout
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not ends.done():
            why = "second signal" if impatience.done() else "out of time to drain"
            for slot in self._lives:
                log.error("worker killed", why=why, worker=slot.number)
                slot.kill()
            await ends
        impatience.cancel()

    async def _second_signal(self) -> None:
        while await self._signals.get() not in ENDING:
            pass

    def _open(self, tasks: asyncio.TaskGroup, number: int, settings: Settings) -> Slot:
        """Start keeping a worker."""

        def is_patient() -> bool:
            # New settings are put to the test: with them, what is refused is refused for good.
            return settings is self._settings and self._has_run()

        slot = Slot(settings, number, self._on_death, is_patient)
        life = tasks.create_task(slot.run(), name=f"worker-{number}")
        self._lives[slot] = life
        life.add_done_callback(lambda _: self._on_end(slot))
        return slot

    def _on_end(self, slot: Slot) -> None:
        del self._lives[slot]
        if self._draining and not slot.drained and self._exit is Exit.OK:
            self._exit = Exit.ABANDONED

    def _on_death(self, slot: Slot, code: int) -> None:
        """Decide whether a worker that died is worth another."""
        if self._slots.get(slot.number) is not slot:
            slot.retire()  # the successor of one that is still there
        elif code == Exit.CANNOT_START and not self._has_run():
            log.critical("worker cannot start; see its last line above", worker=slot.number)
            self._give_up(Exit.CANNOT_START)
        elif all(slot.crashes for slot in self._slots.values()):
            log.critical(
                "all workers die as soon as they are started; giving up. The lines above say of "
                "what; nothing that was not acknowledged is lost",
                worker=slot.number,
                exit_code=code,
            )
            self._give_up(Exit.CRASH_LOOP)

    def _give_up(self, code: Exit) -> None:
        if self._exit is Exit.OK:
            self._exit = code
            self._signals.put_nowait(None)
        for slot in self._slots.values():
            slot.retire()

    def _has_run(self) -> bool:
        return any(slot.has_consumed for slot in self._slots.values())

    def _scale(self, tasks: asyncio.TaskGroup, change: int) -> None:
        """Keep one worker more or fewer."""
        wanted = len(self._slots) + change
        if not 1 <= wanted <= MAX_WORKERS:
            log.warning("not changed: there must be 1 to 256 workers", workers=len(self._slots))
            return
        if change > 0:
            self._slots[wanted] = self._open(tasks, wanted, self._settings)
        else:
            self._slots.pop(wanted + 1).retire()
        log.info("scaled", workers=wanted)

    async def _reload(self, tasks: asyncio.TaskGroup) -> None:
        """Replace all workers by such with new settings, one after another."""
        try:
            settings = self._load()
        except ConfigError as error:
            log.error("settings not reloaded; going on as before", problems=error.problems)
            return
        settings = self._with_what_cannot_change(settings)
        log.info("reloading", workers=settings.workers)
        before = len(self._slots)
        for number in range(1, settings.workers + 1):
            if not await self._replace(tasks, number, settings):
                log.error(
                    "settings not reloaded: no worker consumes with them; going on as before",
                    worker=number,
                )
                await self._roll_back(tasks, replaced=number - 1, before=before)
                return
        self._settings = settings
        logs.configure(settings.log)
        for number in range(before, settings.workers, -1):
            await self._end(self._slots.pop(number))
        log.info("reloaded", workers=settings.workers)

    def _with_what_cannot_change(self, settings: Settings) -> Settings:
        ours, theirs = self._settings.http, settings.http
        changed = [n for n in Http.model_fields if getattr(ours, n) != getattr(theirs, n)]
        if changed:
            log.warning(
                "some settings only change with a restart; the others are reloaded",
                settings=[f"http.{name}" for name in changed],
            )
        return settings.model_copy(update={"http": ours})

    async def _replace(self, tasks: asyncio.TaskGroup, number: int, settings: Settings) -> bool:
        """Replace one worker, once its successor consumes; return whether that came about."""
        successor = self._open(tasks, number, settings)
        if not await self._is_ready_in_time(successor):
            successor.kill()
            return False
        predecessor = self._slots.get(number)
        self._slots[number] = successor
        if predecessor is not None:
            await self._end(predecessor)
        return True

    async def _roll_back(self, tasks: asyncio.TaskGroup, replaced: int, before: int) -> None:
        """Give the workers that were replaced already their old settings back."""
        for number in range(replaced, 0, -1):
            if number > before:
                await self._end(self._slots.pop(number))
            elif not await self._replace(tasks, number, self._settings):
                log.error("worker goes on with the new settings; reload again", worker=number)

    async def _is_ready_in_time(self, slot: Slot) -> bool:
        deadline = time.monotonic() + SUCCESSION_SECONDS
        while not slot.ready:
            if slot not in self._lives or time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def _end(self, slot: Slot) -> None:
        """Let a worker drain, and kill it if it takes too long."""
        slot.retire()
        life = self._lives.get(slot)
        if life is None:
            return
        ended, _ = await asyncio.wait({life}, timeout=self._settings.shutdown_timeout)
        if not ended:
            log.error("worker killed", why="out of time to drain", worker=slot.number)
            slot.kill()
