"""A batching consumer on plain aio-pika: one UPDATE and one acknowledgement a batch."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import aio_pika
import asyncpg
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from bench.peers.common import Receipt, Settings, decode, statement, tell, until_stopped

_FLUSH_SECONDS: Final = 0.1
_UPDATE: Final = statement("update_cdrs")


class BatchingConsumer:
    """While one batch is being committed the next one fills, up to the prefetch."""

    def __init__(self, pool: asyncpg.Pool, batch_size: int) -> None:
        self._pool = pool
        self._batch_size = batch_size
        self._waiting: list[AbstractIncomingMessage] = []
        self._is_full = asyncio.Event()

    async def on_message(self, message: AbstractIncomingMessage) -> None:
        """Keep a message for the next batch."""
        self._waiting.append(message)
        if len(self._waiting) >= self._batch_size:
            self._is_full.set()

    async def run(self) -> None:
        """Settle one batch after another."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_full.wait(), _FLUSH_SECONDS)
            batch = self._waiting[: self._batch_size]
            del self._waiting[: self._batch_size]
            if len(self._waiting) < self._batch_size:
                self._is_full.clear()
            if batch:
                await self._settle(batch)

    async def _settle(self, batch: list[AbstractIncomingMessage]) -> None:
        """Write a batch, then acknowledge it; what cannot be read is rejected before."""
        receipts: list[Receipt] = []
        for message in batch:
            try:
                receipts.append(decode(message.body))
            except ValueError:
                await message.reject()
        if not receipts:
            return
        await self._pool.execute(_UPDATE, *zip(*best(receipts), strict=True))
        committed_at = time.time()
        await next(m for m in reversed(batch) if not m.processed).ack(multiple=True)
        tell(len(receipts), committed_at)


def best(receipts: Iterable[Receipt]) -> list[Receipt]:
    """Return the highest receipt of each message, in an order that all processes lock rows in."""
    found: dict[str, Receipt] = {}
    for receipt in receipts:
        other = found.get(receipt.message_id)
        if other is None or other.rank < receipt.rank:
            found[receipt.message_id] = receipt
    return sorted(found.values(), key=lambda receipt: receipt.message_id)


async def main(settings: Settings) -> None:
    """Consume until SIGTERM."""
    connection = await aio_pika.connect_robust(settings.amqp_url)
    async with asyncpg.create_pool(settings.database_url) as pool, connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=settings.prefetch)
        queue = await channel.get_queue(settings.queue)
        consumer = BatchingConsumer(pool, settings.batch_size)
        await queue.consume(consumer.on_message)
        async with asyncio.TaskGroup() as tasks:
            settling = tasks.create_task(consumer.run())
            await until_stopped()
            settling.cancel()


if __name__ == "__main__":
    uvloop.run(main(Settings.from_environment()))
