"""Asks the service's metrics, the database and the broker how things are, and compares."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import aio_pika
import aiohttp
import asyncpg
from aiormq.exceptions import ChannelNotFoundEntity
from prometheus_client.parser import text_string_to_metric_families

from bench.stack import RabbitMQ
from service.broker.topology import Source
from service.status.samples import Sample, Window

WINDOW: Final = 20  # snapshots over which rates and means are taken
_SETTLED: Final = ("applied", "unchanged", "conflict", "part")


@dataclass(frozen=True)
class Snapshot:
    """How things were at one moment.

    Attributes:
        service: its metrics.
        statuses: how many CDRs of this run have each status.
        parked: how many events wait in the database.
        queued: how many messages of each of the streams wait in the broker, a second or two ago.
        ready: whether each worker is.
    """

    service: Sample
    statuses: Mapping[str, int]
    parked: int
    queued: Mapping[str, int]
    ready: Mapping[str, bool]

    @property
    def settled(self) -> int:
        """Events that have come to their end, dead letters aside."""
        outcomes = self.service.by("billing_events_total", "outcome")
        return int(sum(outcomes.get(outcome, 0) for outcome in _SETTLED))

    @property
    def dead(self) -> int:
        """Messages dead-lettered in this run."""
        return int(self.service.total("billing_dead_letters_total"))


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

    @property
    def window(self) -> Window:
        """The service's metrics from the first snapshot to the last one."""
        return Window(self._snapshots[0].service, self.last.service)

    def rates(self, name: str, stream: str) -> list[float]:
        """Growth per second between each snapshot and the next, oldest first."""
        samples = [snapshot.service for snapshot in self._snapshots]
        return [Window(*pair).rate(name, stream=stream) for pair in pairwise(samples)]


class Probe:
    """Takes snapshots, of ``sources`` in the broker; CDRs count from the moment it was made."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        pool: asyncpg.Pool,
        rabbitmq: RabbitMQ,
        sources: Iterable[Source],
    ) -> None:
        self._http = http
        self._url = url
        self._pool = pool
        self._rabbitmq = rabbitmq
        self._queues = {source.stream: source.queue for source in sources}
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
            service=Sample(time.monotonic(), families),
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
        return {stream: counts.get(name, 0) for stream, name in self._queues.items()}

    async def waiting(self) -> int:
        """Count the same exactly; in a queue that is not there yet there are none."""
        count = 0
        async with await aio_pika.connect(self._rabbitmq.url()) as connection:
            for name in self._queues.values():
                with suppress(ChannelNotFoundEntity):
                    channel = await connection.channel()
                    queue = await channel.declare_queue(name, passive=True)
                    count += queue.declaration_result.message_count or 0
        return count
