"""Publishes each event when it is due, or as soon after that as the broker lets it."""

import time
from array import array
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, Protocol

from bench.formats import Publication
from bench.lab.latencies import Latencies
from bench.lab.schedule import Schedule

_CHUNK: Final = 500
_UNCONFIRMED: Final = 5000


class Connection(Protocol):
    """What is published through."""

    def publish(self, messages: list[Publication]) -> None:
        """Send messages."""

    def wait(self, *, unconfirmed: int = 0) -> None:
        """Wait until no more than that many messages are not confirmed."""


class Sender:
    """Publishes events on a schedule.

    A broker that is slow to take or to confirm them makes it late, and changes nothing about when
    they were due, from which their latencies count.

    Args:
        connection: what they are published through.
        schedule: when they are due.
        events: each with the message id of its CDR, in order.
        latencies: is told of what was published.

    Attributes:
        sent: how many have been published.
        late: of each of those, how many milliseconds later than due.
        is_done: whether there is none left.
    """

    def __init__(
        self,
        connection: Connection,
        schedule: Schedule,
        events: Iterable[tuple[str, Publication]],
        latencies: Latencies,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.sent = 0
        self.late = array("d")
        self.is_done = False
        self._connection = connection
        self._schedule = schedule
        self._events = iter(events)
        self._latencies = latencies
        self._clock = clock

    @property
    def seconds_left(self) -> float:
        """How long it is until the next event is due."""
        return max(0.0, self._schedule.at(self.sent) - self._clock())

    def send_due(self) -> None:
        """Publish what is due, or the first part of it. Raises OSError or Refused."""
        due = self._schedule.due(self._clock())
        wanted = min(due - self.sent, _CHUNK)
        events = list(islice(self._events, max(0, wanted)))
        self.is_done = len(events) < wanted
        if not events:
            return
        self._connection.publish([publication for _, publication in events])
        now = self._clock()
        for message_id, _ in events:
            due_at = self._schedule.at(self.sent)
            self._latencies.expect(message_id, due_at)
            self.late.append((now - due_at) * 1000)
            self.sent += 1
        self._connection.wait(unconfirmed=_UNCONFIRMED)
