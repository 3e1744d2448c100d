"""What a run came to, before the database is asked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

from bench.gateway.books import Books
from bench.gateway.story import Story
from bench.gateway.tap import Tap

R = TypeVar("R")

LOSS_SECONDS: Final = 2.0
"""How long before its end a killed Jasmin may have taken what it did not publish any more."""


@dataclass(frozen=True)
class Seen:
    """What was sent and published.

    Attributes:
        books: who writes CDRs.
        stories: of all messages of which Jasmin's message id is known, by that.
        tap: all that Jasmin published.
        kills: when Jasmin was killed, and when it had bound again; POSIX seconds.
    """

    books: Books
    stories: Mapping[str, Story]
    tap: Tap
    kills: Sequence[tuple[float, float]]

    @cached_property
    def written(self) -> dict[str, Story]:
        """Those of them that must have a CDR."""
        return {key: story for key, story in self.stories.items() if self.books.has_cdr(story)}

    def with_rows(self, rows: Mapping[str, R]) -> Iterator[tuple[Story, R]]:
        """Yield them with their CDRs; one that is missing is a difference of its own."""
        for message_id, story in self.written.items():
            if message_id in rows:
                yield story, rows[message_id]

    def lost(self) -> list[tuple[Story, str, float]]:
        """Return what Jasmin took and did not publish: of which message, what, when it came."""
        return [
            (story, what, at) for story in self.stories.values() for what, at in story.unpublished()
        ]

    def is_by_kill(self, at: float) -> bool:
        """Whether something that came then may be lost because Jasmin was killed."""
        return any(killed - LOSS_SECONDS <= at <= bound for killed, bound in self.kills)
