"""The chaos harness must not lose anything itself."""

from __future__ import annotations

import asyncio
from collections import Counter

import aio_pika

from bench.chaos.plan import Event, make_plan
from bench.chaos.publisher import Publisher
from bench.chaos.rubbish import Rubbish
from bench.chaos.shapes import publication
from bench.stack import Stack
from tests.support.service import eventually


async def test_what_is_returned_is_published_again(stack: Stack, vhost: str) -> None:
    steps = [step for step in make_plan(1, 1000).steps if isinstance(step, Event | Rubbish)]
    publisher = Publisher(stack.rabbitmq.url(vhost), rate=5000, may_send=lambda: True)
    sending = asyncio.create_task(publisher.send(steps))
    async with await aio_pika.connect(stack.rabbitmq.url(vhost)) as connection:
        channel = await connection.channel()
        await asyncio.sleep(0.5)  # there is not even an exchange
        queue = await channel.declare_queue("all")
        exchanges = [await channel.declare_exchange(n, "topic") for n in ("messaging", "billing")]
        await eventually(lambda: returned(publisher))  # now there is, but no binding
        for exchange in exchanges:
            await queue.bind(exchange, "#")
        await sending
        arrived: Counter[bytes] = Counter()
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                arrived[message.body] += 1
                if arrived.total() == len(steps):
                    break
    assert publisher.sent == len(steps)
    assert arrived == Counter(publication(step).body for step in steps)


async def returned(publisher: Publisher) -> bool:
    return publisher.returned > 0
