"""FastStream with asyncpg: a subscriber, acknowledged by the framework once it has returned."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import asyncpg
import uvloop
from faststream import Context, ContextRepo, FastStream
from faststream.exceptions import NackMessage
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from pydantic import BaseModel

from bench.peers.common import Settings, Tally, receipt, statement

_UPDATE: Final = statement("update_cdr")


class DlrEvent(BaseModel):
    """A receipt as the JSON contract has it."""

    message_id: str
    status: str
    dlr_details: dict[str, Any] | None = None


def make_app(settings: Settings) -> FastStream:
    """Return the application; it ends on SIGTERM."""
    tally = Tally()

    @asynccontextmanager
    async def lifespan(context: ContextRepo) -> AsyncIterator[None]:
        async with asyncpg.create_pool(settings.database_url) as pool:
            context.set_global("pool", pool)
            telling = asyncio.create_task(tally.run())
            yield
            telling.cancel()

    # Its own logger has two lines for each message.
    broker = RabbitBroker(settings.amqp_url, logger=None)

    @broker.subscriber(
        RabbitQueue(settings.queue, declare=False),
        channel=Channel(prefetch_count=settings.prefetch),
    )
    async def update_cdr(event: DlrEvent, pool: Annotated[asyncpg.Pool, Context()]) -> None:
        *columns, _ = receipt(event.message_id, event.status, event.dlr_details or {})
        try:
            await pool.execute(_UPDATE, *columns)
        except (OSError, asyncpg.PostgresError) as error:
            raise NackMessage from error  # comes again; what else fails is rejected
        tally.count()

    return FastStream(broker, lifespan=lifespan)


if __name__ == "__main__":
    uvloop.run(make_app(Settings.from_environment()).run())
