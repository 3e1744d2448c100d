"""A real Jasmin: takes SMS from its clients, submits them to an operator, and publishes."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar, Final, Self

import asyncpg
from rich.console import RenderableType

from bench.gateway import trace
from bench.gateway.books import Books
from bench.gateway.site import RETRIED, Site, open_site
from bench.gateway.sms import ACCOUNTS, Sms, Writer
from bench.gateway.submit import NotAccepted
from bench.gateway.traffic import Traffic
from bench.stack import Stack, StackError
from service.broker.topology import BILL, DLR, SUBMIT, Source

BOOKS: Final = Books(captures=True, debits=True)
"""There is nobody else: the service writes the CDRs, and takes the money."""

_TRACED: Final = "01"
# What becomes of the messages (bench.smsc.outcomes), and how many of a hundred.
_OUTCOMES: Final = {
    "00": 66,  # delivered
    "01": 6,  # accepted, then delivered
    "02": 4,  # expired
    "04": 5,  # undeliverable
    "06": 3,  # rejected by a receipt
    "08": 4,  # no receipt
    "11": 2,  # delivered, and a failure that comes too late to be true
    "12": 3,  # delivered, and the same receipt again
    "13": 2,  # its receipt is there before the answer
    "20": 3,  # refused by the operator
    "30": 2,  # throttled, and submitted again
}
_PARTS: Final = (1, 2, 3), (92, 6, 2)
_DRAIN_SECONDS: Final = 10.0
# Jasmin publishes a receipt at about the time at which it acknowledges it.
_PUBLISH_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.2
_dice: Final = random.Random()  # noqa: S311 - nothing here is a secret


class JasminSender:
    """Sends SMS through Jasmin, as :class:`~bench.demo.sender.Sender` has it."""

    sources: ClassVar[tuple[Source, ...]] = (SUBMIT, DLR, BILL)
    rubbish: ClassVar[int] = 0

    def __init__(self, site: Site) -> None:
        self.story: RenderableType | None = None
        self._site = site
        self._writer = Writer(0)
        self._traffic = Traffic(site, self._writer)
        self._stop = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stack: Stack, place: Path, pool: asyncpg.Pool, report: Callable[[str], None]
    ) -> AsyncIterator[Self]:
        """Start Jasmin and what belongs to it, in a directory. Raises StackError."""
        async with open_site(stack.rabbitmq, place, BOOKS, pool, report) as site:
            sender = cls(site)
            try:
                yield sender
            finally:
                await sender._traffic.close()

    @property
    def sent(self) -> int:
        """SMS that Jasmin has taken so far."""
        return len(self._traffic.accepted)

    @property
    def published(self) -> Counter[str]:
        """What Jasmin has published so far, by stream."""
        counts = self._site.tap.counts
        words = ((source.stream, source.binding.partition(".")[0]) for source in self.sources)
        return Counter({stream: counts[word] for stream, word in words})

    @property
    def places(self) -> Mapping[str, str]:
        """Where to send an SMS of one's own."""
        account = ACCOUNTS[0]
        return {"Jasmin": f"{self._site.jasmin.http_url}/send  {account.uid} / {account.password}"}

    async def run(self, rate: float) -> None:
        """Follow one SMS, then send others one by one until :meth:`stop`; see them through.

        Raises:
            StackError: Jasmin has ended, or does not take one.
        """
        try:
            traced = self._writer.write(ACCOUNTS[0], _TRACED)
            self.story = trace.show(await trace.follow(self._site, self._traffic, traced))
            await self._send(rate)
        except NotAccepted as error:
            self._site.check()
            raise StackError(f"Jasmin does not take an SMS: {error}") from None
        await self._see_through()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()

    async def _send(self, rate: float) -> None:
        began, sent = time.monotonic(), 0
        while not self._stop.is_set():
            await self._traffic.send_one(self._write())
            sent += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), began + sent / rate - time.monotonic())

    def _write(self) -> Sms:
        [code] = _dice.choices(list(_OUTCOMES), list(_OUTCOMES.values()))
        account = _dice.choice(ACCOUNTS)
        # Over SMPP it is the client who makes the parts.
        [parts] = _dice.choices(*_PARTS) if account.channel == "http" else [1]
        return self._writer.write(account, code, parts)

    async def _see_through(self) -> None:
        """Wait until the operator has answered every SMS, and its receipts are taken."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self._is_busy() and time.monotonic() < deadline:
            self._site.check()
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.sleep(_PUBLISH_SECONDS)

    def _is_busy(self) -> bool:
        answers = self._site.tap.answers()
        answered = {each.message_id for each in answers if each.text not in RETRIED}
        return self._site.smsc.is_busy or any(
            sms.message_id not in answered for sms in self._traffic.accepted
        )
