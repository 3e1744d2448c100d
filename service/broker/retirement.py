"""Lets nothing more into queues that are not consumed any more, or they would fill up unread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiormq.exceptions import ChannelAccessRefused

from service.broker import topology
from service.broker.depth import Missing, depth
from service.exits import CannotStart
from service.settings import variable_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from aio_pika.abc import AbstractConnection

    from service.broker.depth import Depth
    from service.broker.topology import Source

log = structlog.get_logger()


class Retirement:
    """Looks after queues that were consumed with other settings, and unbinds them.

    From workers that still consume one nothing is taken away: it is unbound only when two looks in
    a row have found no consumer, as those of another host may just be connecting again.

    Args:
        sources: what is not consumed.
        vhost: the virtual host that it is in.
    """

    def __init__(self, sources: Collection[Source], vhost: str) -> None:
        self._sources = sources
        self._vhost = vhost
        self._unused: set[Source] = set()
        # Not asked for again, as RabbitMQ logs each time that it refuses.
        self._gone: set[str] = set()

    async def look(self, connection: AbstractConnection) -> dict[str, int]:
        """Return how many messages are left in each queue: 0 where there is none."""
        left = {}
        for source in self._sources:
            found = await self._depth(connection, source.queue)
            dead = await self._depth(connection, source.dead_queue)
            left[source.queue] = found.waiting if found else 0
            left[source.dead_queue] = dead.waiting if dead else 0
            await self._unbind_unused(connection, source, found)
        return left

    async def _depth(self, connection: AbstractConnection, queue: str) -> Depth | None:
        if queue in self._gone:
            return None
        try:
            return await depth(connection, queue)
        except Missing:
            self._gone.add(queue)
        except ChannelAccessRefused as error:
            self._gone.add(queue)
            log.warning(f"{queue} is not looked at any more: RabbitMQ refuses: {error}")
        return None

    async def _unbind_unused(
        self, connection: AbstractConnection, source: Source, found: Depth | None
    ) -> None:
        if found is None or found.consumers:
            self._unused.discard(source)
        elif source in self._unused:
            try:
                await topology.unbind(connection, source)
            except CannotStart as error:  # what is consumed goes on
                log.error(str(error))
        else:
            self._unused.add(source)
            self._tell(source, found)

    def _tell(self, source: Source, found: Depth) -> None:
        setting = f"{source.section}.enabled ({variable_of(source.section, 'enabled')})"
        log.warning(
            f"{source.queue} is left behind, as {setting} is false: nobody consumes it, and it "
            "will take no more. Set it to true to settle what is in it, or delete the queue "
            f"({topology.deletion(self._vhost, source.queue)})",
            messages=found.waiting,
        )
