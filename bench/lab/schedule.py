"""When each event is due, in an open model: nothing that happens moves it."""

from dataclasses import dataclass
from math import floor


@dataclass(frozen=True)
class Schedule:
    """Events at a fixed rate.

    Attributes:
        start: POSIX time of event number 0.
        rate: events per second.
    """

    start: float
    rate: float

    def at(self, number: int) -> float:
        """Return the POSIX time at which an event is due."""
        return self.start + number / self.rate

    def due(self, now: float) -> int:
        """Return how many events are due by then, from the first one on."""
        return max(0, floor((now - self.start) * self.rate) + 1)
