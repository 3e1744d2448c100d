"""Notices what nobody tells: a consumer that gets nothing, a dead link, a binding that is gone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from aiormq.exceptions import ChannelAccessRefused

from service.broker import topology
from service.broker.depth import Missing, depth
from service.broker.errors import SessionLost
from service.exits import CannotStart
from service.ops import metrics
from service.quantities import quantity

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence

    from aio_pika.abc import AbstractConnection

    from service.broker.catching_up import CatchingUp
    from service.broker.deliveries import Deliveries
    from service.broker.retirement import Retirement
    from service.broker.topology import Source
    from service.settings import Stream

T = TypeVar("T")

INTERVAL_SECONDS = 10.0
ANSWER_SECONDS = 10.0
# In one interval: what is due waits for two of them.
LOOKS: Final = 3

log = structlog.get_logger()


async def watch(
    connection: AbstractConnection,
    sources: Mapping[Source, Stream],
    consumers: Sequence[Deliveries],
    retirement: Retirement,
    catching_up: CatchingUp,
) -> None:
    """Declare all of the topology again from time to time, and compare with what arrives.

    Whoever deletes one of Jasmin's exchanges takes our binding with it, and nothing tells us.

    Raises:
        One of ``broker.errors.OUTAGES``: a channel is gone, the broker does not answer, or
            messages wait and none of them arrives.
    """
    catching_up.start_anew()  # what another session had in hand comes again
    while True:
        for _ in range(LOOKS):
            await _answer(catching_up.look(consumers))
            await asyncio.sleep(INTERVAL_SECONDS / LOOKS)
        waiting = await _answer(_look(connection, sources, retirement))
        note(waiting)
        for consumer in consumers:
            count = waiting.get(consumer.queue, 0)
            if consumer.is_starved(count):
                starved = quantity(count, "message waits", "messages wait")
                raise SessionLost(f"{consumer.queue}: {starved} and none arrives")


async def _answer(asking: Coroutine[None, None, T]) -> T:
    """Return what the broker answers.

    Raises:
        SessionLost: nothing, for too long.
    """
    # Shielded: a call that is cancelled half way makes the client library wait for its answer.
    answer = asyncio.ensure_future(asking)
    answer.add_done_callback(_forget)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asyncio.shield(answer)
    except TimeoutError:
        raise SessionLost(f"RabbitMQ has not answered for {ANSWER_SECONDS:g} s") from None


async def _look(
    connection: AbstractConnection, sources: Mapping[Source, Stream], retirement: Retirement
) -> dict[str, int]:
    """Return how many messages wait in each of our queues, as far as RabbitMQ tells."""
    try:
        waiting = await topology.declare(connection, sources)
    except CannotStart as error:  # what is consumed already goes on
        log.error(str(error))
        waiting = await _waiting(connection, sources)
    return waiting | await retirement.look(connection)


async def _waiting(connection: AbstractConnection, sources: Iterable[Source]) -> dict[str, int]:
    """Look at queues that may not be declared."""
    waiting = {}
    for source in sources:
        for queue in (source.queue, source.dead_queue):
            with suppress(Missing, ChannelAccessRefused):
                waiting[queue] = (await depth(connection, queue)).waiting
    return waiting


def note(waiting: Mapping[str, int]) -> None:
    """Tell the metrics how many messages wait in each queue."""
    for queue, count in waiting.items():
        metrics.QUEUE_MESSAGES.labels(queue).set(count)


def _forget(answer: asyncio.Future[T]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not answer.cancelled():
        answer.exception()
