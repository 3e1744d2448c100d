"""How long it takes from when an event is due to the commit of what it does."""

import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, takewhile
from typing import Final

# When almost everything has been committed, so that it is asked for once.
AGE_SECONDS: Final = 1.0
_CHUNK: Final = 2000

Find = Callable[[Sequence[str]], Iterable[tuple[str, float]]]
"""Returns which of some messages have been committed, and when (POSIX time)."""


class Latencies:
    """Knows which events are on their way, and measures those that have arrived.

    Args:
        find: tells of commits.
        report: is called with each latency in milliseconds.

    Attributes:
        measured: all latencies in milliseconds.
    """

    def __init__(
        self, find: Find, report: Callable[[float], None], clock: Callable[[], float] = time.time
    ) -> None:
        self.measured = array("d")
        self._find = find
        self._report = report
        self._clock = clock
        self._due_at: dict[str, float] = {}

    @property
    def pending(self) -> int:
        """How many have been published, and no commit has been found yet."""
        return len(self._due_at)

    def expect(self, message_id: str, due_at: float) -> None:
        """Note an event that has been published; in the order in which they were due."""
        self._due_at[message_id] = due_at

    def look(self, age: float = AGE_SECONDS) -> None:
        """Look for those that were due so many seconds ago.

        Where none of a chunk has been committed, those after it are left for later: a service that
        has stalled shall not be asked for more and more.
        """
        before = self._clock() - age
        old = takewhile(lambda item: item[1] < before, self._due_at.items())
        waiting = iter([message_id for message_id, _ in old])
        while chunk := list(islice(waiting, _CHUNK)):
            found = list(self._find(chunk))
            for message_id, committed_at in found:
                self._measure((committed_at - self._due_at.pop(message_id)) * 1000)
            if not found:
                break

    def _measure(self, latency: float) -> None:
        self.measured.append(latency)
        self._report(latency)
