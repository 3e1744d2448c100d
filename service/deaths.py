"""When to give up starting workers again: a policy without a clock or a process of its own."""

from __future__ import annotations

from collections import deque
from typing import Final

PER_WORKER: Final = 5
WINDOW_SECONDS: Final = 60.0


class Deaths:
    """Remembers when workers died.

    One that dies again and again among others that are well is started again for ever, as its
    backoff keeps it below the limit; all of them dying at once reach it within seconds.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def add(self, now: float) -> None:
        """Remember a death, at a monotonic time in seconds."""
        self._times.append(now)
        while self._times[0] < now - WINDOW_SECONDS:
            self._times.popleft()

    def are_a_loop(self, workers: int) -> bool:
        """Whether that many workers died so often lately that starting more is of no use."""
        return len(self._times) >= PER_WORKER * workers
