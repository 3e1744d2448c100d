"""The demonstration from start to end: servers, service, traffic, view, drain, summary."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import psycopg
from rich.console import Console
from rich.text import Text

from bench import PROJECT
from bench.demo import view
from bench.demo.jasmin import BOOKS, JasminSender
from bench.demo.ledger import Ledger
from bench.demo.probe import History, Probe, Snapshot
from bench.demo.process import ServiceProcess
from bench.demo.screen import Screen
from bench.demo.sender import Sender
from bench.demo.traffic import Gateway
from bench.stack import Stack, StackError
from bench.stack.install import ensure_installed
from bench.stack.jasmin_environment import ensure_jasmin
from bench.stack.packages import REDIS
from bench.stack.process import free_port
from bench.stack.program import ProgramFailed
from bench.stack.temporary import temporary_stack
from service.quantities import quantity

_DIRECTORY: Final = PROJECT / ".stack"
_DATABASE: Final = "billing"
_READY_SECONDS: Final = 60.0
_REFRESH_SECONDS: Final = 0.5
# How long to wait for the last events: a person who interrupts has other plans.
_QUIET_SECONDS: Final = {False: 10.0, True: 3.0}


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Attributes:
        rate: SMS per second.
        seconds: how long to run; 0 until Ctrl-C.
        workers: processes, or None for as many as the service takes by itself.
        jasmin: whether a real Jasmin publishes the events, instead of one that pretends.
        pictures: where to put pictures of the status page, taken at the end; None for none.
    """

    rate: float
    seconds: float
    workers: int | None
    jasmin: bool = False
    pictures: Path | None = None


def run_demo(options: Options) -> int:
    """Run until Ctrl-C, or for as long as said; return the exit code, 0 when all went well.

    Raises:
        StackError: the servers cannot be installed or started, are in use, or have ended.
        ProgramFailed: the service ended by itself, or does not become ready.
        KeyboardInterrupt: interrupted before the workers were ready.
    """
    console = Console(highlight=False)
    started = time.monotonic()

    def report(step: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.1f} s[/]  {step}", soft_wrap=True)

    with _servers(report, jasmin=options.jasmin) as (stack, place):
        try:
            code = asyncio.run(Demo(stack, place, options, console, report).run())
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is nothing left to interrupt
    report("all servers are stopped")
    return code


@contextmanager
def _servers(report: Callable[[str], None], *, jasmin: bool) -> Iterator[tuple[Stack, Path]]:
    """Start both servers; yield them, and where others work and logs go.

    A Jasmin gets new ones: it, its operator and its users begin at nothing every time.
    """
    if jasmin:
        ensure_jasmin(report)
        ensure_installed(report, REDIS)
        with temporary_stack("run", None, report) as (stack, place):
            yield stack, place
    else:
        stack = Stack(_DIRECTORY)
        stack.start(report)
        try:
            yield stack, _DIRECTORY
        finally:
            stack.stop()


class Demo:
    """What happens while both servers are up."""

    def __init__(
        self,
        stack: Stack,
        place: Path,
        options: Options,
        console: Console,
        report: Callable[[str], None],
    ) -> None:
        self._stack = stack
        self._place = place
        self._options = options
        self._console = console
        self._report = report
        self._stop = asyncio.Event()
        self._history = History()
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        settings = {
            "BILLING_HTTP_PORT": str(port),
            "BILLING_LOG_FORMAT": "json",
            "BILLING_PARKING_PART_GRACE": "2",  # long messages are settled while one looks
            "BILLING_SHUTDOWN_TIMEOUT": "10",
        }
        if options.workers is not None:
            settings["BILLING_WORKERS"] = str(options.workers)
        if options.jasmin:
            settings |= BOOKS.variables
        self._service = ServiceProcess(
            stack.environment(_DATABASE) | settings, place / "billing-service.log"
        )

    async def run(self) -> int:
        """Start the service, watch it at work, let it drain; return the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        await self._migrate()
        dsn = self._stack.postgres.dsn(_DATABASE)
        async with asyncpg.create_pool(dsn, min_size=1) as pool, aiohttp.ClientSession() as http:
            async with self._open_sender(pool) as sender:
                probe = Probe(http, self._url, pool, self._stack.rabbitmq, sender.sources)
                ledger = Ledger(sender, await probe.parked(), await probe.waiting())
                try:
                    await self._start_service(probe)
                    loop.add_signal_handler(signal.SIGINT, self._stop.set)  # until now it cancels
                    await self._watch(probe, ledger)
                finally:
                    code = await self._service.stop()
            self._report("billing-service has drained")
            return await self._conclude(probe, ledger, code)

    def _open_sender(self, pool: asyncpg.Pool) -> AbstractAsyncContextManager[Sender]:
        if self._options.jasmin:
            return JasminSender.open(self._stack, self._place, pool, self._report)
        return Gateway.open(self._stack.rabbitmq.url(), pool)

    async def _migrate(self) -> None:
        self._report("migrating")
        with suppress(psycopg.errors.DuplicateDatabase):  # of an earlier run
            await asyncio.to_thread(self._stack.postgres.create_database, _DATABASE)
        await asyncio.to_thread(self._service.migrate)

    async def _start_service(self, probe: Probe) -> None:
        """Start it, and wait until it is bound to the exchanges: what is sent before is gone."""
        self._report("starting the workers")
        self._service.start()
        deadline = time.monotonic() + _READY_SECONDS
        while not (ready := await probe.ready()) or not all(ready.values()):
            self._service.check()
            if time.monotonic() > deadline:
                raise ProgramFailed(f"not ready after {_READY_SECONDS:.0f} s: see {self._log}")
            await asyncio.sleep(0.1)
        self._report(f"{quantity(len(ready), 'worker')} ready")

    async def _watch(self, probe: Probe, ledger: Ledger) -> None:
        """Show the traffic until it is time to stop, and what is left of it until it is quiet."""
        traffic = asyncio.create_task(ledger.sender.run(self._options.rate))
        end = time.monotonic() + (self._options.seconds or float("inf"))
        try:
            with Screen(
                self._console, ledger.sender, {**self._places(), **ledger.sender.places}
            ) as screen:
                while not self._stop.is_set() and time.monotonic() < end:
                    await self._look(probe, screen)
                    if traffic.done():
                        self._check()
                        traffic.result()
                if self._options.pictures is not None:
                    # Others do without Playwright, which takes a while to load.
                    from bench.demo.pictures import take_pictures  # noqa: PLC0415

                    screen.save(self._history, self._options.pictures / "run.svg")
                    await take_pictures(self._url, self._options.pictures, screen.say)
                screen.say("draining …")
                ledger.sender.stop()
                while not traffic.done():
                    await self._look(probe, screen)
                traffic.result()
                end = time.monotonic() + _QUIET_SECONDS[self._stop.is_set()]
                while time.monotonic() < end:
                    if ledger.is_quiet(await self._look(probe, screen)):
                        break
        finally:
            traffic.cancel()
            await asyncio.wait({traffic})

    async def _look(self, probe: Probe, screen: Screen) -> Snapshot:
        """Take a snapshot, show it, and leave it time to be read."""
        self._check()
        try:
            snapshot = await probe.snapshot()
        except (aiohttp.ClientError, asyncpg.PostgresError, OSError):
            await asyncio.sleep(_REFRESH_SECONDS)
            self._check()  # most likely it is somebody's end, which says more
            raise
        self._history.add(snapshot)
        screen.show(self._history)
        await asyncio.sleep(_REFRESH_SECONDS)
        return snapshot

    def _check(self) -> None:
        """Raise when the service or a server has ended."""
        self._service.check()
        for server in (self._stack.rabbitmq, self._stack.postgres):
            if not server.running:
                raise StackError(f"{server.name} has ended; see {server.log}")

    async def _conclude(self, probe: Probe, ledger: Ledger, code: int) -> int:
        """Show what it came to; return our exit code."""
        last = self._history.last
        problems = ledger.problems(last, code)
        rows = {
            "events left by earlier runs": ledger.parked + ledger.queued,
            "charges recorded": await probe.charges(),
            "events parked": await probe.parked(),
            "dead letters": last.dead,
            "exit code of billing-service": code,
        }
        statuses = await probe.statuses()
        verdict = Text(ledger.verdict(), "green")
        if problems:
            verdict = Text("\n".join(problems), "bold red")
        if ledger.sender.story is not None:
            self._console.print(ledger.sender.story)
        self._console.print(view.summary(ledger.sender, statuses, rows, verdict))
        return 1 if problems else 0

    def _places(self) -> dict[str, str]:
        """Return where to look further."""
        rabbitmq = self._stack.rabbitmq
        return {
            "status page": f"{self._url}/",
            "metrics": f"{self._url}/metrics",
            "readiness": f"{self._url}/readyz",
            "RabbitMQ": f"{rabbitmq.management_url}  {rabbitmq.user} / {rabbitmq.password}",
            "psql": self._stack.postgres.dsn(_DATABASE),
            "log": self._log,
        }

    @property
    def _log(self) -> str:
        return str(self._service.log.relative_to(PROJECT))
