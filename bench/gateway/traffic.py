"""Submits messages, has their CDRs written, and goes on when Jasmin dies meanwhile."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from bench.gateway.cdrs import write_cdr
from bench.gateway.site import Site
from bench.gateway.sms import ACCOUNTS, Sms, Writer
from bench.gateway.submit import (
    NotAccepted,
    NotSent,
    channels,
    close_all,
    hand_over,
    hand_over_and_leave,
)

_AT_ONCE: Final = 6
_RETRY_SECONDS: Final = 0.5
# Of every so many CDRs one is written late: its events are there before it.
_LATE_CDR_EVERY: Final = 5
_LATE_SECONDS: Final = 0.5
_ATTEMPTS: Final = 120


class Traffic:
    """Hands messages to Jasmin as fast as it takes them.

    Attributes:
        accepted: messages that Jasmin has answered for.
        unconfirmed: those that it has not: nobody can say whether they were sent.
    """

    def __init__(self, site: Site, writer: Writer) -> None:
        self.accepted: list[Sms] = []
        self.unconfirmed: list[Sms] = []
        self._site = site
        self._writer = writer
        self._grown = asyncio.Condition()
        self._channels = channels(site.jasmin, ACCOUNTS)
        self._dice = random.Random(0)  # noqa: S311 - no secret

    async def reached(self, count: int) -> None:
        """Wait until so many messages have been accepted."""
        async with self._grown:
            await self._grown.wait_for(lambda: len(self.accepted) >= count)

    async def close(self) -> None:
        """Hang up."""
        await close_all(self._channels)

    async def send(self, messages: Iterable[Sms], progress: Callable[[int], None]) -> None:
        """Submit messages; return once all of them are accepted, and a gateway's CDRs written.

        ``progress`` is given the number of accepted messages whenever it grows.

        Raises:
            NotAccepted: Jasmin has not taken a message for a minute.
        """
        rest = iter(messages)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(self._work(rest, progress))

    async def send_one(self, sms: Sms) -> None:
        """Submit a message and write its CDR at once. Raises NotAccepted."""
        await hand_over(self._channels[sms.account], sms)
        if not self._site.books.captures:
            await write_cdr(self._site.pool, sms)
        self.accepted.append(sms)

    async def abandon(self, sms: Sms) -> None:
        """Submit a message without waiting for its id."""
        await hand_over_and_leave(self._site.jasmin, sms)
        self.unconfirmed.append(sms)

    async def _work(self, messages: Iterator[Sms], progress: Callable[[int], None]) -> None:
        for sms in messages:
            accepted = await self._submit(sms)
            if not self._site.books.captures:
                await self._write(accepted)
            self.accepted.append(accepted)
            progress(len(self.accepted))
            async with self._grown:
                self._grown.notify_all()

    async def _write(self, sms: Sms) -> None:
        """Write a CDR as a gateway does, which is sometimes late."""
        if self._dice.randrange(_LATE_CDR_EVERY) == 0:
            await asyncio.sleep(self._dice.uniform(0, _LATE_SECONDS))
        await write_cdr(self._site.pool, sms)

    async def _submit(self, sms: Sms) -> Sms:
        """Submit until accepted: as another message where nothing is known of this one."""
        for attempt in range(_ATTEMPTS):
            try:
                await hand_over(self._channels[sms.account], sms)
            except NotAccepted as error:
                if attempt == _ATTEMPTS - 1:
                    raise
                if not isinstance(error, NotSent):
                    self.unconfirmed.append(sms)
                    sms = self._writer.again(sms)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                break
        return sms
