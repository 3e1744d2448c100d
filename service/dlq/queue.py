"""Takes messages from a dead queue to look at them; what is not removed goes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from aiormq.exceptions import ChannelAccessRefused
from pamqp import commands as spec

from service.broker.depth import Missing, depth
from service.dlq.letter import Letter, letter
from service.exits import CannotStart

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection
    from aiormq.abc import AbstractChannel

    from service.broker.topology import Source

# So many messages are held in memory at once.
CHUNK = 100


async def waiting(connection: AbstractConnection, queue: str) -> int | None:
    """Return how many messages a queue has to give; None where there is no such queue.

    Raises:
        CannotStart: the user may not look.
    """
    try:
        return (await depth(connection, queue)).waiting
    except Missing:
        return None
    except ChannelAccessRefused as error:
        raise CannotStart(
            f"RabbitMQ refuses: {error}; give the user configure, write and read permission on "
            f"{queue}"
        ) from error


class DeadQueue:
    """One walk through a dead queue, oldest first.

    With ``basic.get``, so that no more is taken than is asked for, and none from a consumer that
    is told of nothing. What arrives after the walk has begun is left for the next one.
    """

    def __init__(self, channel: AbstractChannel, stream: str, source: Source, size: int) -> None:
        self._channel = channel
        self._stream = stream
        self.source = source
        self._left = size

    async def letters(self) -> AsyncIterator[list[Letter]]:
        """Yield the letters, some at a time.

        Raises:
            CannotStart: the user may not read them.
        """
        while self._left:
            chunk: list[Letter] = []
            while self._left and len(chunk) < CHUNK:
                found = await self._get()
                if found is None:
                    self._left = 0
                else:
                    self._left -= 1
                    chunk.append(found)
            if chunk:
                yield chunk

    async def remove(self, letters: Iterable[Letter]) -> None:
        """Take letters out of the queue for good."""
        for each in letters:
            await self._channel.basic_ack(each.tag, wait=False)

    async def _get(self) -> Letter | None:
        try:
            delivered: Any = await self._channel.basic_get(self.source.dead_queue)
        except ChannelAccessRefused as error:
            raise CannotStart(
                f"RabbitMQ refuses: {error}; give the user read permission on "
                f"{self.source.dead_queue}"
            ) from error
        if isinstance(delivered.delivery, spec.Basic.GetEmpty):
            return None
        return letter(self._stream, self.source, delivered)
