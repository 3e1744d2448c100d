"""The specification as written: a transaction and an acknowledgement for each message."""

import asyncio
from typing import Final

import aio_pika
import asyncpg
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from bench.peers.common import Settings, Tally, decode, statement, until_stopped

_UPDATE: Final = statement("update_cdr")


class DlrEventsConsumer:
    """Updates the CDR of each receipt as it comes."""

    def __init__(self, pool: asyncpg.Pool, tally: Tally) -> None:
        self._pool = pool
        self._tally = tally

    async def on_message(self, message: AbstractIncomingMessage) -> None:
        """Settle one receipt; what cannot be read is rejected, what fails is requeued."""
        try:
            *columns, _ = decode(message.body)
        except ValueError:
            await message.reject()
            return
        async with message.process(requeue=True):
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_UPDATE, *columns)
            self._tally.count()


async def main(settings: Settings) -> None:
    """Consume until SIGTERM."""
    tally = Tally()
    connection = await aio_pika.connect_robust(settings.amqp_url)
    async with asyncpg.create_pool(settings.database_url) as pool, connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=settings.prefetch)
        queue = await channel.get_queue(settings.queue)
        await queue.consume(DlrEventsConsumer(pool, tally).on_message)
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(tally.run())
            await until_stopped()
            telling.cancel()


if __name__ == "__main__":
    uvloop.run(main(Settings.from_environment()))
