"""When a worker is past hope: a policy without a clock or a process of its own."""

from __future__ import annotations

from typing import Final

# A worker that lived this long was well.
WELL_SECONDS: Final = 60.0
# So many deaths in a row, none of them after it was well, are no accident.
LIMIT: Final = 5


class Deaths:
    """Counts how often in a row one worker died young.

    It is for the supervisor to ask all of its workers: while a single one is well, the others are
    started again for ever, with backoff, because that one still does the work.
    """

    def __init__(self) -> None:
        self._young = 0

    def add(self, lived: float) -> bool:
        """Remember a death after so many seconds of life; return whether that was young."""
        young = lived < WELL_SECONDS
        self._young = self._young + 1 if young else 0
        return young

    def are_a_loop(self, age: float) -> bool:
        """Whether it does nothing but die; ``age`` is that of the present process in seconds."""
        return self._young >= LIMIT and age < WELL_SECONDS
