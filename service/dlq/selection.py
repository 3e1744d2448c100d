"""Which dead letters a command is about."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from service.broker.topology import STREAMS

if TYPE_CHECKING:
    from service.broker.topology import Source
    from service.dlq.letter import Letter


class Selection(NamedTuple):
    """What is asked for; nothing given asks for everything.

    Attributes:
        now: what ages are counted from.
        stream: dlr, bill or submit.
        reason: part of the reason, in any case.
        older_than: dead for longer than that.
        newer_than: dead for less long than that.
        id: what the id begins with.
        limit: so many at most.
    """

    now: datetime
    stream: str | None = None
    reason: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    id: str = ""
    limit: int | None = None

    @property
    def sources(self) -> dict[str, Source]:
        """The streams whose dead queues need to be looked through."""
        return {name: s for name, s in STREAMS.items() if self.stream in {None, name}}

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is asked for. One of unknown age is neither old nor new."""
        if self.reason and self.reason.casefold() not in letter.death.reason.casefold():
            return False
        if not letter.id.startswith(self.id.lower()):
            return False
        if self.older_than is None and self.newer_than is None:
            return True
        if letter.death.at is None:
            return False
        age = self.now - letter.death.at
        is_old = self.older_than is None or age > self.older_than
        return is_old and (self.newer_than is None or age < self.newer_than)
