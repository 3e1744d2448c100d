"""The line a message follows: deliveries, decode, batch, write, acknowledge."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from service.batcher import Batch
from service.broker.dead_letters import Cause, DeadLetter, DeadLetters
from service.broker.deliveries import Deliveries
from service.broker.delivery import Delivery
from service.broker.errors import HeldTooLong
from service.events.decode import decode_each
from service.events.message import Content
from service.events.records import Event, Refused
from service.ops import metrics
from service.ops.report import Report
from service.store.batches import Arrival, Batches
from service.store.errors import DATA_ERRORS, describe
from service.store.outcomes import Outcome

if TYPE_CHECKING:
    from service.broker.topology import Source
    from service.settings import Stream as StreamSettings

E = TypeVar("E", bound=Event)

# A message that makes us fail is tried so often in all, in the end alone in its transaction.
MAX_DELIVERIES = 5
# So many messages are decoded in one go; the hardest take some 5 ms each.
DECODE_SLICE = 200
# After a slice that took longer, others have their turn more than once: a call that waits for the
# broker's answer takes several of them.
LONG_SLICE_SECONDS = 0.05
PAUSE_SECONDS = 0.005
SHOW_SECONDS = 1.0


class Stream(Generic[E]):
    """One queue, from delivery to acknowledgement."""

    def __init__(
        self,
        source: Source,
        settings: StreamSettings,
        decode_batch: Callable[[Sequence[Content]], list[E]],
        batches: Batches[E],
        hold_limit: float,
        *,
        decode_slice: int = DECODE_SLICE,
    ) -> None:
        self.name = batches.writer.stream
        self.source = source
        self.settings = settings
        self._decode_batch = decode_batch
        self.writer = batches.writer
        self.report = Report(self.name)
        self._batches = batches
        self._hold_limit = hold_limit
        self._decode_slice = decode_slice
        self._unacknowledged = metrics.UNACKNOWLEDGED.labels(self.name)

    async def run(
        self, deliveries: Deliveries, dead_letters: DeadLetters, stop: asyncio.Event
    ) -> None:
        """Settle batches until ``stop`` is set and all that was delivered is acknowledged.

        Raises:
            One of ``broker.errors.OUTAGES``: what was not acknowledged will be delivered again.
        """
        drain = asyncio.create_task(deliveries.drain_when(stop), name=f"{self.name}-drain")
        showing = asyncio.create_task(self._show(deliveries), name=f"{self.name}-show")
        try:
            while batch := await deliveries.next_batch():
                await self._settle(batch, deliveries, dead_letters)
                self._unacknowledged.set(deliveries.unacknowledged)
            self.report.drained(deliveries.received, deliveries.unacknowledged)
        finally:
            drain.cancel()
            showing.cancel()
            self._unacknowledged.set(0)

    async def _show(self, deliveries: Deliveries) -> None:
        """Tell how much is in hand from time to time: a batch that is held may be so for long."""
        while True:
            self._unacknowledged.set(deliveries.unacknowledged)
            await asyncio.sleep(SHOW_SECONDS)

    async def _settle(
        self, batch: Batch[Delivery], deliveries: Deliveries, dead_letters: DeadLetters
    ) -> None:
        """Decode, write, dead-letter, and only then acknowledge."""
        started = time.perf_counter()
        arrivals, refused = await self._sort_out(batch.items)
        decoded = time.perf_counter()
        try:
            async with asyncio.timeout(self._hold_limit) as held:
                results = await self._batches.write(arrivals)
                committed = time.perf_counter()
                requeued = self._judge(arrivals, results, refused)
                await dead_letters.publish(self.name, self.source, refused)
        except TimeoutError as error:
            if not held.expired():
                raise
            raise HeldTooLong(self.source.queue, self._hold_limit) from error
        await deliveries.settle(batch, requeued)
        self.report.dead(refused)
        counts = self.report.events([arrival.event for arrival in arrivals], results)
        self.report.batch(batch, counts, decoded - started, committed - decoded)

    async def decode(
        self, messages: Sequence[Content], within: float = math.inf
    ) -> list[E | Refused]:
        """Return for each message what it says, or why it can never be applied.

        Everything else has its turn in between: a batch of what is hard to decode is no hang.

        Args:
            messages: the first of them come first.
            within: seconds after which none is begun any more, and the result is shorter.
        """
        events: list[E | Refused] = []
        until = time.monotonic() + within
        for start in range(0, len(messages), self._decode_slice):
            began = time.monotonic()
            if began > until:
                break
            messages_slice = messages[start : start + self._decode_slice]
            events += [
                self._refusal(event) if isinstance(event, Exception) else event
                for event in decode_each(self._decode_batch, messages_slice)
            ]
            is_long = time.monotonic() - began > LONG_SLICE_SECONDS
            await asyncio.sleep(PAUSE_SECONDS if is_long else 0)
        return events

    def _refusal(self, error: Exception) -> Refused:
        if isinstance(error, Refused):
            return error
        self.report.failed(error, requeued=False)  # a bug, and the same again at the next delivery
        return Refused(f"cannot be decoded: {describe(error)}")

    async def _sort_out(
        self, batch: Sequence[Delivery]
    ) -> tuple[list[Arrival[E]], list[DeadLetter]]:
        """Decode, and part what can be applied from what never can."""
        arrivals: list[Arrival[E]] = []
        refused: list[DeadLetter] = []
        for delivery, event in zip(batch, await self.decode(batch), strict=True):
            if isinstance(event, Refused):
                refused.append(DeadLetter(delivery.message, str(event)))
            else:
                arrivals.append(Arrival(delivery, event))
        return arrivals, refused

    def _judge(
        self,
        arrivals: Sequence[Arrival[E]],
        results: Sequence[Outcome | Exception],
        refused: list[DeadLetter],
    ) -> set[int]:
        """Decide on what could not be written.

        Appends to ``refused`` what the database will never take, and what made us fail too
        often; returns the tags of what made us fail and is worth another delivery.
        """
        requeued: set[int] = set()
        if not self.report.is_debugging and set(map(type, results)) <= {Outcome}:
            return requeued
        for arrival, result in zip(arrivals, results, strict=True):
            delivery = arrival.delivery
            if self.report.is_debugging:
                self.report.message(arrival.event, result)
            if isinstance(result, Outcome):
                continue
            if isinstance(result, DATA_ERRORS):
                reason = f"the database refuses it: {describe(result)}"
                refused.append(DeadLetter(delivery.message, reason, Cause.DATABASE))
                continue
            again = _is_worth_another(delivery)
            self.report.failed(result, requeued=again)
            if again:
                requeued.add(delivery.tag)
            else:
                reason = f"failed too often: {describe(result)}"
                refused.append(DeadLetter(delivery.message, reason, Cause.FAILED))
        return requeued


def _is_worth_another(delivery: Delivery) -> bool:
    """Whether a message that makes us fail should be delivered again.

    A classic queue does not count deliveries, so there the second one is the last.
    """
    if delivery.times_before is None:
        return not delivery.redelivered
    return delivery.times_before + 1 < MAX_DELIVERIES
