"""Asks the service's metrics, the database and the broker how things are, and compares."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import aiohttp
import asyncpg
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from bench.stack import RabbitMQ

STREAMS: Final = {"dlr": "billing_service.dlr", "bill": "billing_service.submit_sm_resp"}
WINDOW: Final = 20  # snapshots over which rates and means are taken
_SETTLED: Final = ("applied", "unchanged", "conflict", "part")


@dataclass(frozen=True)
class Snapshot:
    """How things were at one moment.

    Attributes:
        at: monotonic time in seconds.
        samples: the service's metrics.
        statuses: how many CDRs of this run have each status.
        parked: how many events wait in the database.
        queued: how many messages of each stream wait in the broker, a second or two ago.
        ready: whether each worker is.
    """

    at: float
    samples: Sequence[Sample]
    statuses: Mapping[str, int]
    parked: int
    queued: Mapping[str, int]
    ready: Mapping[str, bool]

    def by(self, name: str, label: str, stream: str | None = None) -> dict[str, float]:
        """Return the sums of a metric, of one stream or all, by a label."""
        sums: dict[str, float] = defaultdict(float)
        for sample in self.samples:
            if sample.name == name and stream in {None, sample.labels.get("stream")}:
                sums[sample.labels.get(label, "")] += sample.value
        return sums

    def total(self, name: str, stream: str | None = None) -> float:
        """Return the sum of a metric, of one stream or all."""
        return sum(self.by(name, "", stream).values())

    @property
    def settled(self) -> int:
        """Events that have come to their end, dead letters aside."""
        outcomes = self.by("billing_events_total", "outcome")
        return int(sum(outcomes.get(outcome, 0) for outcome in _SETTLED))

    @property
    def dead(self) -> int:
        """Messages dead-lettered in this run."""
        return int(self.total("billing_dead_letters_total"))


class History:
    """The last snapshots, and what changed between them."""

    def __init__(self) -> None:
        self._snapshots: deque[Snapshot] = deque(maxlen=WINDOW + 1)

    def add(self, snapshot: Snapshot) -> None:
        """Take the newest one in; the first must come before anything is asked."""
        self._snapshots.append(snapshot)

    @property
    def last(self) -> Snapshot:
        """The newest snapshot."""
        return self._snapshots[-1]

    def grown(self, name: str, label: str, stream: str) -> dict[str, float]:
        """By how much a metric grew over the window, by a label."""
        before = self._snapshots[0].by(name, label, stream)
        return {k: v - before.get(k, 0) for k, v in self.last.by(name, label, stream).items()}

    def rates(self, name: str, stream: str) -> list[float]:
        """Growth per second between each snapshot and the next, oldest first."""
        points = [(snapshot.at, snapshot.total(name, stream)) for snapshot in self._snapshots]
        return [(b - a) / (then - at) for (at, a), (then, b) in pairwise(points)]

    def mean(self, name: str, stream: str) -> float:
        """Mean of a histogram's observations over the window; 0 if there were none."""
        count = self.grown(f"{name}_count", "", stream).get("", 0)
        return self.grown(f"{name}_sum", "", stream).get("", 0) / count if count else 0

    def quantile(self, share: float, name: str, stream: str) -> float:
        """Estimate a quantile over the window, within its bucket, as Prometheus does."""
        grown = self.grown(f"{name}_bucket", "le", stream)
        buckets = sorted((float(limit), count) for limit, count in grown.items())
        if not buckets or not buckets[-1][1]:
            return 0
        wanted, low, below = share * buckets[-1][1], 0.0, 0.0
        for limit, count in buckets:
            if count >= wanted and limit != float("inf"):
                return low + (limit - low) * (wanted - below) / (count - below)
            if limit != float("inf"):
                low, below = limit, count
        return low


class Probe:
    """Takes snapshots; CDRs count from the moment it was made."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, pool: asyncpg.Pool, rabbitmq: RabbitMQ
    ) -> None:
        self._http = http
        self._url = url
        self._pool = pool
        self._rabbitmq = rabbitmq
        self._since = datetime.now(UTC)

    async def ready(self) -> dict[str, bool]:
        """Return which workers are ready; none while the service does not answer."""
        try:
            async with self._http.get(f"{self._url}/readyz") as response:
                workers: dict[str, bool] = (await response.json())["workers"]
                return workers
        except aiohttp.ClientError:
            return {}

    async def snapshot(self) -> Snapshot:
        """Look at everything.

        Raises:
            aiohttp.ClientError, OSError, asyncpg.PostgresError, StackError: one does not answer.
        """
        async with self._http.get(f"{self._url}/metrics") as response:
            families = text_string_to_metric_families(await response.text())
        return Snapshot(
            at=time.monotonic(),
            samples=[sample for family in families for sample in family.samples],
            statuses=await self.statuses(),
            parked=await self.parked(),
            queued=await self.queued(),
            ready=await self.ready(),
        )

    async def statuses(self) -> dict[str, int]:
        """Count the CDRs of this run by status."""
        rows = await self._pool.fetch(
            "SELECT status, count(*) FROM sms_cdr WHERE created_at >= $1 GROUP BY 1", self._since
        )
        return {row["status"]: row["count"] for row in rows}

    async def charges(self) -> int:
        """Count the charges of this run."""
        query = "SELECT count(*) FROM billing_event WHERE received_at >= $1"
        return int(await self._pool.fetchval(query, self._since))

    async def parked(self) -> int:
        """Count the events that wait in the database, of earlier runs as well."""
        return int(await self._pool.fetchval("SELECT count(*) FROM billing_parked"))

    async def queued(self) -> dict[str, int]:
        """Count the messages that wait in the broker, by stream."""
        queues = await asyncio.to_thread(self._rabbitmq.queues)
        counts = {queue["name"]: int(queue.get("messages_ready", 0)) for queue in queues}
        return {stream: counts.get(name, 0) for stream, name in STREAMS.items()}
