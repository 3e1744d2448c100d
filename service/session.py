"""One session with the broker: connect, declare, consume every stream until drained or lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from service import versions
from service.broker import topology
from service.broker.connection import connect, server_version
from service.broker.dead_letters import DeadLetters
from service.broker.deliveries import Deliveries
from service.broker.errors import OUTAGES, HeldTooLong, SessionLost
from service.broker.retirement import Retirement
from service.broker.watchdog import note, watch

if TYPE_CHECKING:
    from service.addresses import Address, Turns
    from service.broker.catching_up import CatchingUp
    from service.broker.topology import Source
    from service.broker.transport import PeelingConnection
    from service.settings import Jasmin
    from service.settings import Stream as StreamSettings
    from service.stream import Stream

log = structlog.get_logger()


@asynccontextmanager
async def open_session(
    jasmin: Jasmin, name: str, addresses: Turns[Address], sources: Mapping[Source, StreamSettings]
) -> AsyncIterator[Session]:
    """Connect and declare; what is open is closed at the end.

    Args:
        jasmin: how to speak with the broker.
        name: what RabbitMQ's management shows for the connections.
        addresses: where the broker is; see :func:`~service.broker.connection.connect`.
        sources: the queues to consume, and how.

    Raises:
        One of ``broker.errors.OUTAGES``: the broker is away.
        CannotStart: it refuses us or our topology.
    """
    async with (
        connect(jasmin, name, addresses) as connection,
        # One of its own: under an alarm RabbitMQ stops reading connections that publish.
        connect(jasmin, f"{name} dead letters", addresses) as publishing,
    ):
        _tell_version(server_version(connection))
        left = [source for source in topology.STREAMS.values() if source not in sources]
        retirement = Retirement(left, jasmin.amqp_vhost)
        note(await topology.declare(connection, sources))
        note(await retirement.look(connection))
        dead_letters = await DeadLetters.open(publishing, sources)
        yield Session(connection, dead_letters, sources, retirement)


class Session:
    """A session that is open; build it with :func:`open_session`.

    Args:
        connection: what is consumed on.
        dead_letters: the way to the dead queues, while the session lasts.
        sources: what is consumed.
        retirement: of what is not.
    """

    def __init__(
        self,
        connection: PeelingConnection,
        dead_letters: DeadLetters,
        sources: Mapping[Source, StreamSettings],
        retirement: Retirement,
    ) -> None:
        self.dead_letters = dead_letters
        self._connection = connection
        self._sources = sources
        self._retirement = retirement
        self._consumers: dict[Stream[Any], Deliveries] = {}

    @property
    def unacknowledged(self) -> int:
        """Messages that the broker counts on this session."""
        return sum(deliveries.unacknowledged for deliveries in self._consumers.values())

    async def run(
        self,
        streams: Sequence[Stream[Any]],
        stop: asyncio.Event,
        on_consuming: Callable[[], None],
        catching_up: CatchingUp,
    ) -> None:
        """Consume all streams; returns once ``stop`` is set and they are drained.

        Args:
            streams: one for each of the sources.
            stop: is set when it is time to drain.
            on_consuming: is called once all of them are consumed.
            catching_up: is told what waits, and what is settled.

        Raises:
            HeldTooLong: a batch could not be written in time.
            SessionLost: the broker is away; what was not acknowledged will be delivered again.
        """
        lost: BaseException | None = None
        try:
            await self._consume(streams)
            on_consuming()
            await self._settle(stop, catching_up)
        except* OUTAGES as group:
            lost = group.exceptions[0]
        # Not in the except*: until Python 3.11.4, what is raised there comes out in a group.
        if isinstance(lost, HeldTooLong):
            raise lost
        if lost is not None:
            raise SessionLost(f"{self._connection.address}: {lost}") from lost

    async def _consume(self, streams: Sequence[Stream[Any]]) -> None:
        queues = [stream.source.queue for stream in streams]
        for stream, queue in zip(streams, queues, strict=True):
            self._consumers[stream] = await Deliveries.open(
                self._connection, queue, stream.settings
            )
        log.info("consuming", broker=str(self._connection.address), queues=queues)

    async def _settle(self, stop: asyncio.Event, catching_up: CatchingUp) -> None:
        consumers = list(self._consumers.values())
        watch_all = watch(self._connection, self._sources, consumers, self._retirement, catching_up)
        async with asyncio.TaskGroup() as tasks:
            watching = [
                tasks.create_task(watch_all, name="watchdog"),
                tasks.create_task(self.dead_letters.watch(), name="dead-letters-watchdog"),
            ]
            settling = [
                tasks.create_task(stream.run(deliveries, self.dead_letters, stop), name=stream.name)
                for stream, deliveries in self._consumers.items()
            ]
            await asyncio.wait(settling)
            for task in watching:
                task.cancel()


def _tell_version(rabbitmq: str) -> None:
    if versions.is_old_rabbitmq(rabbitmq):
        oldest = ".".join(map(str, versions.OLDEST_RABBITMQ))
        log.warning(
            f"RabbitMQ {rabbitmq} is older than {oldest}, the oldest that was tested: it refuses "
            "quorum queues with a time limit, and classic ones are at your own risk; upgrade it"
        )
    else:
        log.info("connected", rabbitmq=rabbitmq)
