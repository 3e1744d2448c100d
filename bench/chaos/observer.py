"""Watches the service from outside: its logs, metrics, memory, queues, and what is parked."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, NamedTuple

import aiohttp
import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from bench.chaos.gateway import AWAY
from bench.chaos.keeper import Keeper
from bench.chaos.service import Life, resident_bytes
from bench.chaos.storm import Struck
from bench.stack import StackError

QUEUES: Final = ("billing_service.dlr", "billing_service.submit_sm_resp")
_LOG_SECONDS: Final = 0.2
_LOOK_SECONDS: Final = 1.0
_KILLED: Final = -9
# Where the service debits, a refund of what it has not debited waits, and need not ever be booked.
# $1 whether it does
_WAITING: Final = """
    SELECT (SELECT count(*) FROM billing_parked),
           (SELECT count(*) FROM billing_refund r WHERE booked_at IS NULL AND (
               NOT $1
               OR EXISTS (SELECT FROM billing_event WHERE message_id = r.message_id AND debited > 0)
           ))
"""
# Lines of the log that mean a bug of the service, whatever has been done to it.
BUGS: Final = {"unexpected error", "worker failed"}


class Commit(NamedTuple):
    """A batch that was committed.

    Attributes:
        at: POSIX time.
        size: messages.
        redelivered: how many of them the broker had delivered before.
        keeper: which service it was, from 0.
    """

    at: float
    size: int
    redelivered: int
    keeper: int


class Observer:
    """Figures of the run so far; keeps them up to date while :meth:`run` runs.

    Args:
        keepers: the services.
        queues: asks the broker for its queues.
        connect: connects to the database.
        struck: returns what has been struck so far.
        debits: charge mode ``debit``.

    Attributes:
        committed: messages in committed batches, redelivered ones included.
        last_commit: POSIX time of the last of them.
        commits: every batch.
        ready: messages that wait in each queue, and
        unacknowledged: those with a consumer, a second or two ago; None while not known.
        parked: events that wait in the database, and
        owed: refunds that are to be booked, and are not yet; None while not known.
        redelivered: deliveries that the broker counts as repeated, as far as it was seen.
        max_rss: most memory that a worker was seen to hold, in bytes.
        problems: what the service's log has that it should not have.
        log_counts: how often the log has each line.
    """

    def __init__(
        self,
        keepers: Sequence[Keeper],
        queues: Callable[[], list[dict[str, Any]]],
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        struck: Callable[[], list[Struck]],
        *,
        debits: bool = False,
    ) -> None:
        self.committed = 0
        self.last_commit = 0.0
        self.commits: list[Commit] = []
        self.ready: dict[str, int] | None = None
        self.unacknowledged: dict[str, int] | None = None
        self.looked_at = 0.0
        self.parked: int | None = None
        self.owed: int | None = None
        self.max_rss = 0
        self.problems: list[str] = []
        self.log_counts: Counter[str] = Counter()
        self._keepers = keepers
        self._queues = queues
        self._connect = connect
        self._struck = struck
        self._debits = debits
        self._metrics: dict[tuple[int, int], dict[str, float]] = {}
        self._redelivered: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._connection: asyncpg.Connection | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as http:
                tasks.create_task(self._follow_logs())
                tasks.create_task(self._watch(self._look_at_queues))
                tasks.create_task(self._watch(self._look_at_parking))
                tasks.create_task(self._watch(lambda: self._scrape(http)))
                await asyncio.Event().wait()
        finally:
            self._disconnect()

    @property
    def depth(self) -> int:
        """Messages in the longer queue, as far as known."""
        return max((self.ready or {}).values(), default=0)

    @property
    def redelivered(self) -> int:
        """Deliveries that the broker counts as repeated."""
        return sum(base + last for base, last in self._redelivered.values())

    @property
    def metrics(self) -> dict[str, float]:
        """The service's counters, those of all its lives added up as far as they were seen."""
        total: Counter[str] = Counter()
        for figures in self._metrics.values():
            total.update(figures)
        return dict(total)

    def read_logs(self) -> None:
        """Take in what the logs have that is new."""
        for number, keeper in enumerate(self._keepers):
            for life in keeper.lives:
                for line in life.read_log():
                    self._read(number, life, line)
        for blow in self._struck():
            if blow.committed_at is None and blow.mended_at is not None:
                blow.committed_at = self._first_commit_after(blow.mended_at)

    def _read(self, keeper: int, life: Life, line: dict[str, Any]) -> None:
        event = line["event"]
        self.log_counts[event] += 1
        if event == "batch":
            at = datetime.fromisoformat(line["timestamp"]).timestamp()
            self.committed += line["size"]
            self.last_commit = max(self.last_commit, at)
            self.commits.append(Commit(at, line["size"], line.get("redelivered", 0), keeper))
        elif event in BUGS:
            self.problems.append(f"{event}: see {life.log.name}")
        elif event.startswith("worker died") and line["exit_code"] != _KILLED:
            self.problems.append(
                f"a worker ended with exit code {line['exit_code']}: {life.log.name}"
            )

    def _first_commit_after(self, moment: float) -> float | None:
        recent = (commit.at for commit in self.commits[-5000:] if commit.at > moment)
        return min(recent, default=None)

    async def _follow_logs(self) -> None:
        while True:
            self.read_logs()
            for keeper in self._keepers:
                for pid in keeper.life.workers.values():
                    self.max_rss = max(self.max_rss, resident_bytes(pid))
            await asyncio.sleep(_LOG_SECONDS)

    async def _watch(self, look: Callable[[], Any]) -> None:
        while True:
            with suppress(*AWAY, StackError, aiohttp.ClientError, ValueError):
                await look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look_at_queues(self) -> None:
        self.ready = self.unacknowledged = None
        began = time.time()
        queues = await asyncio.to_thread(self._queues)
        named = {queue["name"]: queue for queue in queues}
        if not set(QUEUES) <= named.keys() or "messages_ready" not in named[QUEUES[0]]:
            return
        self.ready = {name: int(named[name].get("messages_ready", 0)) for name in QUEUES}
        self.unacknowledged = {
            name: int(named[name].get("messages_unacknowledged", 0)) for name in QUEUES
        }
        self.looked_at = began
        for name in QUEUES:
            base, last = self._redelivered[name]
            now = int(named[name].get("message_stats", {}).get("redeliver", 0))
            # It counts from zero again after a restart.
            self._redelivered[name] = (base + last, now) if now < last else (base, now)

    async def _look_at_parking(self) -> None:
        self.parked = self.owed = None
        try:
            if self._connection is None:
                self._connection = await self._connect()
            row = await self._connection.fetchrow(_WAITING, self._debits)
        except AWAY:
            self._disconnect()
            raise
        if row is not None:
            self.parked, self.owed = row

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _scrape(self, http: aiohttp.ClientSession) -> None:
        for number, keeper in enumerate(self._keepers):
            if keeper.life.url is not None:
                life = (number, len(keeper.lives))
                self._metrics[life] = await self._counters(http, keeper.life.url)

    async def _counters(self, http: aiohttp.ClientSession, url: str) -> dict[str, float]:
        async with http.get(f"{url}/metrics", timeout=aiohttp.ClientTimeout(5)) as response:
            families = text_string_to_metric_families(await response.text())
        figures: dict[str, float] = defaultdict(float)
        for family in families:
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    outcome = sample.labels.get("outcome")
                    figures[f"{sample.name}{{{outcome}}}" if outcome else sample.name] += (
                        sample.value
                    )
        return dict(figures)
