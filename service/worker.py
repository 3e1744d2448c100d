"""One worker process: wires its streams, keeps a session with the broker, drains on a signal."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import structlog

from service import pulse, retry
from service.broker import leniency, topology
from service.broker.catching_up import CatchingUp
from service.broker.connection import in_turn
from service.broker.errors import OUTAGES, HeldTooLong, SessionLost
from service.database_url import place
from service.events.decode import BillDecoder, DlrDecoder, SubmitDecoder
from service.exits import CannotStart, Exit
from service.ops import log as logs
from service.ops import metrics
from service.outage import Outage
from service.session import open_session
from service.store.batches import Batches
from service.store.bill_writer import BillWriter
from service.store.circuit import Circuit, State
from service.store.dlr_writer import DlrWriter
from service.store.errors import OUTAGES as DATABASE_OUTAGES
from service.store.money import Money
from service.store.pool import open_pool, ping
from service.store.refund_policy import RefundPolicy
from service.store.submit_writer import SubmitWriter
from service.stream import Stream
from service.sweeper import Sweeper

if TYPE_CHECKING:
    import asyncpg

    from service.broker.dead_letters import DeadLetters
    from service.events.records import Submission
    from service.pulse import Pulse
    from service.settings import Settings

# What is left of the shutdown time for closing connections.
CLOSING_SECONDS = 2.0
# A session that lasted this long was well; the next one is tried almost without delay.
WELL_SECONDS = 30.0
# So that not all workers come back to a broker in the same moment.
JITTER_SECONDS = 1.0
POLL_SECONDS = 0.2
# So many submissions are decoded in one go; the most hostile take a tenth of a second each.
PICKLES_SLICE = 1

log = structlog.get_logger()


async def run(
    settings: Settings, number: int, life: Pulse, supervisor: int, *, patient: bool
) -> Exit:
    """Be a worker until SIGTERM, or until the supervisor is gone.

    Args:
        settings: all settings.
        number: which worker this is, from 1.
        life: where to show the supervisor that it is alive.
        supervisor: its process id; whoever else is the parent has inherited an orphan.
        patient: others have consumed before, so that what is refused now may pass.

    Returns:
        The process's exit code.
    """
    logs.configure(settings.log, worker=number)
    leniency.install()
    worker = Worker(settings, f"billing-service worker-{number}", life, supervisor, patient=patient)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop.set)
    gc.collect()
    gc.freeze()  # what has been loaded stays: the collector need not look through it
    try:
        return await worker.run()
    except CannotStart as error:
        log.error(str(error))
        return Exit.CANNOT_START
    except Exception:
        log.exception("worker failed")
        return Exit.FAILED


class Worker:
    """The tasks of one process, and what they share."""

    def __init__(
        self, settings: Settings, name: str, life: Pulse, supervisor: int, *, patient: bool
    ) -> None:
        self.stop = asyncio.Event()
        self._settings = settings
        self._name = name
        self._addresses = in_turn(settings.jasmin)
        self._outage = Outage("RabbitMQ", ", ".join(map(str, settings.jasmin.addresses)))
        self._life = life
        self._supervisor = supervisor
        self._circuit: Circuit | None = None
        self._dead_letters: DeadLetters | None = None
        self._sweeper: Sweeper | None = None
        self._catching_up = CatchingUp()
        self._is_patient = patient
        self._has_abandoned = False

    async def run(self) -> Exit:
        """Open the database, then consume until told to stop.

        Raises:
            CannotStart: broker or database refuse for good.
        """
        self._show()  # it has loaded: from now on silence is a hang
        beating = asyncio.create_task(self._beat(), name="pulse")
        try:
            return await self._work(await self._open_pool(), beating)
        except retry.Stopped:
            return self._end_of_drain()
        finally:
            await _end({beating})

    async def _open_pool(self) -> asyncpg.Pool:
        sleep = retry.unless_stopped(self.stop)
        passing = (CannotStart,) if self._is_patient else ()
        async for attempt in retry.patiently("cannot start", passing, sleep):
            with attempt:
                pool = await open_pool(
                    self._settings.database,
                    self._name,
                    sleep,
                    captures=self._settings.capture.enabled,
                )
        return pool

    async def _work(self, pool: asyncpg.Pool, beating: asyncio.Task[None]) -> Exit:
        refunds, bill = self._settings.refund, self._settings.bill
        money = Money(
            RefundPolicy(refunds),
            debits=bill.charge_mode == "debit",
            patience=self._settings.parking.ttl,
        )
        server = place(self._settings.database.url.get_secret_value())
        circuit = self._circuit = Circuit(lambda: ping(pool), server)
        streams = self._streams(pool, money, circuit)
        self._sweeper = Sweeper(
            pool,
            self._settings,
            streams,
            money,
            circuit=circuit,
            catching_up=self._catching_up,
            dead_letters=lambda: self._dead_letters,
        )
        sweeping = asyncio.create_task(self._sweeper.run(), name="sweeper")
        consuming = asyncio.create_task(self._consume(streams, circuit), name="consumer")
        try:
            return await self._watch(consuming, {beating, sweeping})
        finally:
            await _end({consuming, sweeping})
            with suppress(*DATABASE_OUTAGES):
                await asyncio.wait_for(pool.close(), CLOSING_SECONDS / 2)
            pool.terminate()

    def _streams(self, pool: asyncpg.Pool, money: Money, circuit: Circuit) -> list[Stream[Any]]:
        dlr, bill = self._settings.dlr, self._settings.bill
        hold_limit = self._settings.database.hold_limit
        zone = ZoneInfo(dlr.timezone)
        streams: list[Stream[Any]] = [
            Stream(
                topology.DLR,
                dlr,
                DlrDecoder(zone, dlr.max_body_bytes),
                Batches(pool, DlrWriter(money, receipt_log=dlr.receipt_log), circuit),
                hold_limit,
            ),
            Stream(
                topology.BILL,
                bill,
                BillDecoder(bill.max_body_bytes),
                Batches(pool, BillWriter(money), circuit),
                hold_limit,
            ),
        ]
        if self._settings.capture.enabled:
            streams.append(self._capture(Batches(pool, SubmitWriter(money), circuit)))
        return streams

    def _capture(self, batches: Batches[Submission]) -> Stream[Submission]:
        capture = self._settings.capture
        decode = SubmitDecoder(
            ZoneInfo(capture.timezone), capture.max_body_bytes, keep_text=capture.text
        )
        hold_limit = self._settings.database.hold_limit
        return Stream(
            topology.SUBMIT, capture, decode, batches, hold_limit, decode_slice=PICKLES_SLICE
        )

    async def _watch(
        self, consuming: asyncio.Task[None], side_tasks: set[asyncio.Task[None]]
    ) -> Exit:
        """Wait for the end: of the consumer, in good time; or of a side task, which is a bug."""
        stopping = asyncio.create_task(self.stop.wait(), name="stop")
        await asyncio.wait({consuming, stopping, *side_tasks}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in side_tasks:
            if task.done():
                task.result()
        seconds = max(0.0, self._settings.shutdown_timeout - CLOSING_SECONDS)
        await asyncio.wait({consuming}, timeout=seconds)
        if consuming.done():
            consuming.result()
            return self._end_of_drain()
        log.warning("out of time to drain; what is not acknowledged goes back to the broker")
        return Exit.ABANDONED

    def _end_of_drain(self) -> Exit:
        return Exit.ABANDONED if self._has_abandoned else Exit.OK

    async def _consume(self, streams: list[Stream[Any]], circuit: Circuit) -> None:
        """Keep a session with the broker, one after another, until told to stop.

        None is begun while the database is away: what came could only be given back again.

        Raises:
            CannotStart: the broker refuses the very first session; later on, refusals are
                waited out like any outage.
        """
        sleep = retry.unless_stopped(self.stop)
        while not self.stop.is_set():
            async for attempt in retry.patiently(self._outage, OUTAGES, sleep):
                with attempt:
                    while circuit.state is not State.CLOSED:  # the sweeper looks after it
                        await sleep(POLL_SECONDS)
                    started = time.monotonic()
                    try:
                        await self._session(streams)
                    except HeldTooLong as error:
                        circuit.doubt()
                        log.error(str(error))
                    except CannotStart as error:
                        if not self._is_patient:
                            raise
                        raise SessionLost(str(error)) from error
                    except OUTAGES as error:
                        if time.monotonic() - started < WELL_SECONDS:
                            raise
                        log.error("session with RabbitMQ lost", error=str(error))
                        await sleep(random.uniform(0, JITTER_SECONDS))  # noqa: S311

    async def _session(self, streams: list[Stream[Any]]) -> None:
        """Consume all streams in one session; returns once they are drained.

        Raises:
            One of ``broker.errors.OUTAGES``: the session was lost.
            CannotStart: the broker refuses us or our topology.
        """
        sources = {stream.source: stream.settings for stream in streams}
        async with open_session(
            self._settings.jasmin, self._name, self._addresses, sources
        ) as session:
            self._dead_letters = session.dead_letters
            try:
                await session.run(streams, self.stop, self._on_consuming, self._catching_up)
            except OUTAGES:
                self._has_abandoned |= self.stop.is_set() and session.unacknowledged > 0
                raise
            finally:
                self._dead_letters = None
                self._show()

    def _on_consuming(self) -> None:
        self._outage.ends()
        self._is_patient = True
        self._show()

    async def _beat(self) -> None:
        """Show every second how this process is; notice if its supervisor is gone."""
        while True:
            self._show()
            if os.getppid() != self._supervisor and not self.stop.is_set():
                log.warning("the supervisor is gone; draining")
                self.stop.set()
            await asyncio.sleep(pulse.INTERVAL_SECONDS)

    def _show(self) -> None:
        """Tell the supervisor, and the metrics, whether this process consumes and can write."""
        consuming = self._dead_letters is not None
        answered = self._sweeper.answered_at if self._sweeper else float("-inf")
        answers = time.monotonic() - answered < pulse.STALE_SECONDS
        circuit = self._circuit.state if self._circuit else State.CLOSED
        writable = answers and circuit is State.CLOSED
        self._life.beat(consuming=consuming, writable=writable, circuit=circuit)
        metrics.BROKER_CONNECTED.set(consuming)
        metrics.DATABASE_CONNECTED.set(writable)


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end, within reason."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=CLOSING_SECONDS / 2)
