"""Dead letters: what can never be applied, kept with its reason for a person to look at."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import structlog
from aiormq.exceptions import PublishError

from service import retry
from service.broker import topology
from service.broker.errors import OUTAGES, SessionLost
from service.broker.marks import mark
from service.broker.publisher import Publisher
from service.events.message import Message
from service.exits import CannotStart
from service.ops import metrics

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection

    from service.broker.topology import Source
    from service.settings import Stream

log = structlog.get_logger()


class Cause(StrEnum):
    """The kinds of reasons that there are, for those who count.

    MALFORMED: it does not say what it should, or not in a way that can be read.
    DATABASE: PostgreSQL refuses its row.
    FAILED: it made us fail too often.
    EXPIRED: what it belongs to has not appeared while it was parked.
    """

    MALFORMED = "malformed"
    DATABASE = "database"
    FAILED = "failed"
    EXPIRED = "expired"


class DeadLetter(NamedTuple):
    """A message, and why it can never be applied."""

    message: Message
    reason: str
    cause: Cause = Cause.MALFORMED


class DeadLetters:
    """Publishes to the dead queues; build it with :meth:`open`."""

    def __init__(
        self,
        connection: AbstractConnection,
        sources: Mapping[Source, Stream],
        publishers: dict[Source, Publisher],
    ) -> None:
        self._connection = connection
        self._sources = sources
        self._publishers = publishers
        self._lost = asyncio.Event()

    @classmethod
    async def open(
        cls, connection: AbstractConnection, sources: Mapping[Source, Stream]
    ) -> DeadLetters:
        """Open channels with publisher confirms.

        Args:
            connection: best one of its own.
            sources: whose dead queues there are, and their settings.
        """
        publishers = {source: await Publisher.open(connection) for source in sources}
        return cls(connection, sources, publishers)

    async def watch(self) -> None:
        """Wait until nothing can be published any more.

        Only who publishes notices, and the sweeper alone would try for ever.

        Raises:
            SessionLost: that is so.
        """
        await self._lost.wait()
        raise SessionLost("the connection for dead letters is lost")

    @property
    def is_waiting(self) -> bool:
        """Whether a confirm may still come for what was published before."""
        return any(publisher.is_waiting for publisher in self._publishers.values())

    async def publish(self, stream: str, source: Source, letters: Sequence[DeadLetter]) -> None:
        """Publish until the broker has confirmed each; what it refuses is tried again.

        Returns only then, however long the broker refuses: the caller sets the limit.

        Raises:
            AMQPError, SessionLost, ...: the channel is gone; nothing may be acknowledged.
        """
        left = list(letters)
        what = f"{source.dead_queue} does not take dead letters; their batch is held"
        async for attempt in retry.patiently(what, (_Refused,)):
            with attempt:
                taken, why = await self._try(stream, source, left)
                left = [letter for letter, is_in in zip(left, taken, strict=True) if not is_in]
                if left:
                    raise _Refused(f"{why} ({len(left)} left)")

    async def offer(self, stream: str, source: Source, letters: Sequence[DeadLetter]) -> list[bool]:
        """Publish once; return for each letter whether the broker has it.

        Raises:
            AMQPError, SessionLost, ...: the channel is gone; nothing is known of any of them.
        """
        taken, why = await self._try(stream, source, letters)
        if not all(taken):
            left = taken.count(False)
            log.error(f"{source.dead_queue} does not take dead letters", error=why, left=left)
        return taken

    async def _try(
        self, stream: str, source: Source, letters: Sequence[DeadLetter]
    ) -> tuple[list[bool], str]:
        """Publish once; return for each letter whether the broker has it, and why not."""
        marked = [mark(stream, source, letter.message, letter.reason) for letter in letters]
        publisher = self._publishers[source]
        try:
            answers = await publisher.offer(source.dead_queue, marked)
        except OUTAGES:
            self._lost.set()
            raise
        taken = [answer is None for answer in answers]
        causes = [letter.cause for letter, is_in in zip(letters, taken, strict=True) if is_in]
        for cause, count in Counter(causes).items():
            metrics.DEAD_LETTERS.labels(stream, cause).inc(count)
        if all(taken):
            return taken, ""
        if any(isinstance(answer, PublishError) for answer in answers):
            return taken, await self._declare(source)
        # A quorum queue that has refused a channel goes on refusing it, when it is a change of
        # policy that has made room.
        if self._publishers[source] is publisher:
            self._publishers[source] = await Publisher.open(self._connection)
            await publisher.close()
        return taken, "it is full, and a policy of overflow reject-publish lets nothing in"

    async def _declare(self, source: Source) -> str:
        """Declare a dead queue that is gone; return what came of it."""
        try:
            await topology.declare_dead_queue(
                self._connection, source, self._sources[source].queue_type
            )
        except CannotStart as error:
            return str(error)
        return "it was gone, and has been declared again"


class _Refused(Exception):
    """The broker does not take dead letters for now."""
