"""What a batch came to, told to the metrics and the log: once a batch, never once a message."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from service.events.records import BillEvent
from service.ops import metrics
from service.store.errors import describe
from service.store.outcomes import Outcome

if TYPE_CHECKING:
    from service.batcher import Batch
    from service.broker.dead_letters import DeadLetter
    from service.broker.delivery import Delivery
    from service.events.records import Event

_QUOTATION = re.compile(r": b?(['\"]).*\1$", re.DOTALL)

# CDR statuses of a message that did not arrive.
FAILURES = ("failed", "expired", "rejected")


class Report:
    """Speaks for one stream."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._log = structlog.get_logger().bind(stream=stream)

    def events(
        self, events: Sequence[Event], results: Sequence[Outcome | Exception]
    ) -> dict[str, int]:
        """Count what became of events; return the counts for the log."""
        outcomes = {
            outcome.value: count for outcome in Outcome if (count := results.count(outcome))
        }
        statuses = Counter(
            [
                event.status.cdr_status
                for event, result in zip(events, results, strict=True)
                # A native bill does not know its CDR.
                if result is Outcome.APPLIED
                and not (type(event) is BillEvent and event.message_id is None)
            ]
        )
        if unknown := [event.status.known for event in events].count(False):
            metrics.UNKNOWN_STATUSES.inc(unknown)
        for outcome, count in outcomes.items():
            metrics.EVENTS.labels(self._stream, outcome).inc(count)
        for status, count in statuses.items():
            metrics.STATUSES.labels(status).inc(count)
        failed = sum(statuses[status] for status in FAILURES)
        return {**outcomes, "failed_deliveries": failed} if failed else outcomes

    def batch(
        self, batch: Batch[Delivery], counts: dict[str, int], decode_s: float, commit_s: float
    ) -> None:
        """Tell of one batch; a WARNING if a delivery in it failed."""
        metrics.BATCHES.labels(self._stream, batch.reason).inc()
        metrics.BATCH_EVENTS.labels(self._stream).observe(len(batch.items))
        metrics.DECODE_SECONDS.labels(self._stream).observe(decode_s)
        metrics.COMMIT_SECONDS.labels(self._stream).observe(commit_s)
        if redelivered := sum(delivery.redelivered for delivery in batch.items):
            metrics.REDELIVERED.labels(self._stream).inc(redelivered)
            counts = {**counts, "redelivered": redelivered}
        if published_at := batch.items[0].published_at:
            age = max(0.0, time.time() - published_at)
            metrics.PUBLISH_TO_COMMIT_SECONDS.labels(self._stream).observe(age)
        tell = self._log.warning if "failed_deliveries" in counts else self._log.info
        tell(
            "batch",
            size=len(batch.items),
            flushed_by=batch.reason,
            **counts,
            decode_ms=round(decode_s * 1000, 1),
            commit_ms=round(commit_s * 1000, 1),
        )

    def message(self, event: Event, result: Outcome | Exception) -> None:
        """Tell of one message, at DEBUG."""
        outcome = result.value if isinstance(result, Outcome) else describe(result)
        status = event.status.text if event.status.known else "unknown"
        self._log.debug("message", message_id=event.message_id, status=status, outcome=outcome)

    def dead(self, letters: Sequence[DeadLetter]) -> None:
        """Tell of every message that went to the dead queue, with its reason."""
        if letters:
            metrics.EVENTS.labels(self._stream, "refused").inc(len(letters))
        for letter in letters:
            self._log.error(
                "dead-lettered",
                reason=_without_quotation(letter.reason),
                routing_key=letter.message.routing_key,
                message_id=letter.message.message_id,
            )

    def drained(self, received: int, unacknowledged: int) -> None:
        """Tell of the end of a consumer; unacknowledged should be none."""
        self._log.info("drained", received=received, unacknowledged=unacknowledged)

    def failed(self, error: Exception, *, requeued: bool) -> None:
        """Tell of a message that made us fail, with the stack trace."""
        if requeued:
            metrics.EVENTS.labels(self._stream, "requeued").inc()
        self._log.error("unexpected error", requeued=requeued, exc_info=error)

    @property
    def is_debugging(self) -> bool:
        """Whether :meth:`message` would say anything."""
        return bool(self._log.is_enabled_for(10))


def _without_quotation(reason: str) -> str:
    """Leave out what a reason quotes of a message at its end: it may be anything."""
    return _QUOTATION.sub("", reason)
