"""Publishes the plan as Jasmin would, except that it makes sure: with confirms, until taken."""

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

import aiormq
from aiormq.abc import AbstractChannel
from aiormq.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError
from pamqp import commands as spec

from bench.chaos.plan import Event
from bench.chaos.rubbish import Rubbish
from bench.chaos.shapes import publication
from bench.formats import Publication
from service.addresses import Turns

_SMALLEST_CHUNK: Final = 100
_CONFIRM_SECONDS: Final = 20.0
_RETRY_SECONDS: Final = 0.2
_CONNECT_SECONDS: Final = 10.0
_TRANSIENT: Final = 1
_Letter = tuple[Event | Rubbish, Publication]
_AWAY: Final = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError)


class Publisher:
    """Sends what it is given, in order, at a steady rate.

    What the broker does not confirm, or returns because the service's binding is not there, is
    sent again later. It declares nothing itself: the exchanges that it finds are the service's.
    Where it has the URLs of several nodes it goes on with another when one is away.

    Attributes:
        rate: publications per second.
        confirmed: how many copies of each event the broker has taken, by number.
        sent: publications that the broker has taken, rubbish included.
        returned: publications that came back for want of a queue.
        unconfirmed: publications of which nothing is known, and which were sent again.
    """

    def __init__(self, *urls: str, rate: float, may_send: Callable[[], bool]) -> None:
        self.confirmed: Counter[int] = Counter()
        self.sent = 0
        self.returned = 0
        self.unconfirmed = 0
        self.rate = rate
        self._urls = Turns(urls)
        self._may_send = may_send
        self._items: Iterator[Event | Rubbish] = iter(())
        self._waiting: deque[_Letter] = deque()
        self._allowance = 0.0
        self._allowed_at = time.monotonic()

    async def send(self, items: Iterable[Event | Rubbish]) -> None:
        """Take items when it is their time, and return once the broker has all of them."""
        self._items = iter(items)
        self._allowed_at = time.monotonic()
        while self._has_more():
            url = next(iter(self._urls))
            try:
                await self._session(url)
            except _AWAY:
                self._urls.failed(url)
            await asyncio.sleep(_RETRY_SECONDS)

    def _has_more(self) -> bool:
        if not self._waiting:
            self._waiting.extend(
                (item, publication(item)) for item in itertools.islice(self._items, 1)
            )
        return bool(self._waiting)

    async def _session(self, url: str) -> None:
        connection = await asyncio.wait_for(aiormq.connect(url), _CONNECT_SECONDS)
        try:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            while self._has_more():
                await self._pace()
                await self._send_chunk(channel)
        finally:
            with suppress(*_AWAY):
                await asyncio.wait_for(connection.close(), _RETRY_SECONDS)

    async def _pace(self) -> None:
        """Wait until there is something to send; time lost to an outage is not made up for."""
        while True:
            now = time.monotonic()
            earned = (now - self._allowed_at) * self.rate
            self._allowance = min(self._allowance + earned, max(_SMALLEST_CHUNK, self.rate))
            self._allowed_at = now
            if self._allowance >= min(_SMALLEST_CHUNK, self.rate / 20) and self._may_send():
                return
            await asyncio.sleep(0.01)

    async def _send_chunk(self, channel: AbstractChannel) -> None:
        # Large enough that waiting for the confirms of one does not slow all of it down.
        largest = max(_SMALLEST_CHUNK, self.rate / 4)
        chunk = self._take(max(1, int(min(largest, self._allowance))))
        self._allowance -= len(chunk)
        results = await asyncio.gather(
            *(self._publish(channel, message) for _, message in chunk), return_exceptions=True
        )
        lost: BaseException | None = None
        for letter, result in reversed(list(zip(chunk, results, strict=True))):
            if result is None:
                self._count(letter[0])
                continue
            self._waiting.appendleft(letter)
            if isinstance(result, DeliveryError):
                self.returned += 1
            elif isinstance(result, _AWAY):
                self.unconfirmed += 1
                lost = result
            else:
                raise result
        if lost is not None:
            raise lost
        if None not in results:
            await asyncio.sleep(_RETRY_SECONDS)

    def _take(self, size: int) -> list[_Letter]:
        """Take the next ones. No two with one message id: it tells which of them is returned."""
        chunk: list[_Letter] = []
        seen: set[str | None] = set()
        while len(chunk) < size and self._has_more():
            message_id = self._waiting[0][1].message_id
            if message_id in seen:
                break
            if message_id is not None:
                seen.add(message_id)
            chunk.append(self._waiting.popleft())
        return chunk

    async def _publish(self, channel: AbstractChannel, message: Publication) -> None:
        await channel.basic_publish(
            message.body,
            exchange=message.exchange,
            routing_key=message.routing_key,
            properties=spec.Basic.Properties(
                delivery_mode=_TRANSIENT,
                message_id=message.message_id,
                headers=dict(message.headers),
            ),
            mandatory=True,
            timeout=_CONFIRM_SECONDS,
        )

    def _count(self, item: Event | Rubbish) -> None:
        self.sent += 1
        if isinstance(item, Event):
            self.confirmed[item.number] += 1
