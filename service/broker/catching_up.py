"""Until when all that was published has been settled, as far as one worker can tell.

A refund that becomes due may be owed no longer for what still waits in a queue, or in a batch that
could not be written. So it is booked only once all that was published before then is settled.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from service.broker.deliveries import Deliveries

# For others to write what they hold: after an outage they try again within 2 s.
PATIENCE_SECONDS: Final = 3.0


class _Look(NamedTuple):
    """When nothing waited in any queue, and how much each consumer had received by then."""

    at: float
    received: list[int]


class CatchingUp:
    """Looks whether nothing waits, and a while later whether what was in hand then is settled.

    Args:
        clock: the time in seconds, which only ever goes on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pending: _Look | None = None
        self._caught_up_at: float | None = None

    @property
    def seconds_ago(self) -> float | None:
        """How long ago all was published that is settled for certain; None if nothing is."""
        return None if self._caught_up_at is None else self._clock() - self._caught_up_at

    def start_anew(self) -> None:
        """Take nothing for settled that was: somebody may hold what could not be written."""
        self._pending = self._caught_up_at = None

    async def look(self, consumers: Sequence[Deliveries]) -> None:
        """Ask for the queues of a session's consumers, always the same ones.

        Raises:
            One of ``broker.errors.OUTAGES``: the session is lost.
        """
        at = self._clock()
        if not all([await consumer.is_queue_empty() for consumer in consumers]):
            self._pending = None
            return
        if self._pending is not None and self._is_settled(self._pending, at, consumers):
            self._caught_up_at, self._pending = self._pending.at, None
        if self._pending is None:
            self._pending = _Look(at, [consumer.received for consumer in consumers])

    @staticmethod
    def _is_settled(look: _Look, at: float, consumers: Sequence[Deliveries]) -> bool:
        return at - look.at >= PATIENCE_SECONDS and all(
            consumer.acknowledged >= received
            for consumer, received in zip(consumers, look.received, strict=True)
        )
