"""Notices what nobody tells: a consumer that gets nothing, a dead link, a binding that is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from service.broker import topology
from service.broker.errors import SessionLost
from service.exits import CannotStart
from service.ops import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aio_pika.abc import AbstractConnection

    from service.broker.deliveries import Deliveries
    from service.broker.topology import Source
    from service.settings import Stream

INTERVAL_SECONDS = 10.0
ANSWER_SECONDS = 10.0

log = structlog.get_logger()


async def watch(
    connection: AbstractConnection,
    sources: Mapping[Source, Stream],
    consumers: Sequence[Deliveries],
    retired: Sequence[Source] = (),
) -> None:
    """Declare all of the topology again from time to time, and compare with what arrives.

    Whoever deletes one of Jasmin's exchanges takes our binding with it, and nothing tells us. What
    is retired is unbound again: workers with older settings may have consumed it until now.

    Raises:
        SessionLost: the broker does not answer, or messages wait and none of them arrives.
    """
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        # Shielded: a call that is cancelled half way makes the client library wait for its answer.
        declaring = asyncio.ensure_future(_declare(connection, sources, retired))
        declaring.add_done_callback(_forget)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                waiting = await asyncio.shield(declaring)
        except TimeoutError:
            raise SessionLost(f"RabbitMQ has not answered for {ANSWER_SECONDS:g} s") from None
        except CannotStart as error:  # what is consumed already goes on
            log.error(str(error))
            continue
        note(waiting)
        for consumer in consumers:
            if consumer.is_starved(waiting[consumer.queue]):
                raise SessionLost(
                    f"{consumer.queue}: {waiting[consumer.queue]} messages wait and none arrives"
                )


async def _declare(
    connection: AbstractConnection, sources: Mapping[Source, Stream], retired: Sequence[Source]
) -> dict[str, int]:
    waiting = await topology.declare(connection, sources)
    for source in retired:
        await topology.retire(connection, source)
    return waiting


def note(waiting: Mapping[str, int]) -> None:
    """Tell the metrics how many messages wait in each queue."""
    for queue, count in waiting.items():
        metrics.QUEUE_MESSAGES.labels(queue).set(count)


def _forget(declaring: asyncio.Future[dict[str, int]]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not declaring.cancelled():
        declaring.exception()
