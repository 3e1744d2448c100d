"""A queue beside the service's own: all that Jasmin really published, and when."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from bench.gateway.sms import PREFIX

_QUEUE: Final = "gateway.tap"
# Of a pickle no more is read than this: no two messages go to the same one.
_NUMBER: Final = re.compile(rb"%b\d{8,}" % PREFIX.encode())
_BINDINGS: Final = (
    ("messaging", "dlr.#"),
    ("messaging", "submit.sm.#"),
    ("billing", "bill_request.#"),
)


@dataclass(frozen=True)
class Publication:
    """A message of Jasmin's.

    Attributes:
        at: when it was here, POSIX seconds.
        routing_key: where it was published to.
        message_id: its property.
        text: its body; empty for what is pickled.
        headers: its headers; none of what is pickled.
        number: where a queued message goes to.
    """

    at: float
    routing_key: str
    message_id: str
    text: str
    headers: dict[str, Any]
    number: str = ""


class Tap:
    """What was published so far; open it with :meth:`open`.

    Attributes:
        publications: all of it, in order.
        counts: how much of it there is, by the first word of the routing key.
    """

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.counts: Counter[str] = Counter()
        self._came = asyncio.Event()

    async def published(self) -> None:
        """Wait until something for the service is published."""
        self._came.clear()
        await self._came.wait()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator["Tap"]:
        """Bind and listen. The exchanges are declared as Jasmin and the service do."""
        tap = cls()
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(_QUEUE, durable=True)
            for exchange, routing_key in _BINDINGS:
                await channel.declare_exchange(exchange, aio_pika.ExchangeType.TOPIC)
                await queue.bind(exchange, routing_key)
            await queue.consume(tap._take, no_ack=True)
            yield tap

    def answers(self) -> Iterator[Publication]:
        """Yield what was published about submissions."""
        return (each for each in self.publications if each.routing_key == "dlr.submit_sm_resp")

    def receipts(self) -> Iterator[Publication]:
        """Yield receipts, those by data_sm among them."""
        return (each for each in self.publications if each.routing_key == "dlr.deliver_sm")

    def bills(self) -> Iterator[Publication]:
        """Yield bills."""
        return (each for each in self.publications if each.routing_key.startswith("bill_request."))

    def queued(self) -> Iterator[Publication]:
        """Yield messages that Jasmin has queued for a connector."""
        return (
            each
            for each in self.publications
            if each.routing_key.startswith("submit.sm.")
            and not each.routing_key.startswith("submit.sm.resp.")
        )

    async def _take(self, message: AbstractIncomingMessage) -> None:
        key = message.routing_key or ""
        is_queued = key.startswith("submit.sm.")
        self.counts[key.partition(".")[0]] += 1
        self.publications.append(
            Publication(
                time.time(),
                key,
                message.message_id or "",
                "" if is_queued else message.body.decode(),
                {} if is_queued else dict(message.headers),
                _number(message.body) if is_queued else "",
            )
        )
        if not is_queued:
            self._came.set()


def _number(body: bytes) -> str:
    found = _NUMBER.search(body)
    return found.group().decode() if found else ""
