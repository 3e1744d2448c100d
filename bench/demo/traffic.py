"""A pretend gateway: writes CDRs like the application in front of Jasmin, publishes like Jasmin."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import ClassVar, Final, Self

import aio_pika
import asyncpg
from aio_pika.abc import AbstractExchange
from rich.console import RenderableType

from bench.demo import shapes
from bench.demo.shapes import Publication
from bench.demo.sms import ACCOUNTS, Sms, dice, samples
from service.broker.topology import BILL, DLR, Source

LATE_CDRS: Final = 0.1
RUBBISH: Final = 0.005
_EXCHANGES: Final = {"dlr": "messaging", "bill": "billing"}

_ADD_ACCOUNT: Final = """
    INSERT INTO accounts (id, name, type, status, currency, jasmin_uid)
    VALUES ($1, $2, 'customer', 'active', 'EUR', $2) ON CONFLICT DO NOTHING
"""
_ADD_BALANCE: Final = """
    INSERT INTO account_balances (account_id, balance, currency)
    VALUES ($1, 10000, 'EUR') ON CONFLICT DO NOTHING
"""
_ADD_CDR: Final = """
    INSERT INTO sms_cdr
        (message_id, account_id, connector_id, msisdn, sender, parts, price, currency, submit_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'EUR', $8)
"""


class Gateway:
    """Sends SMS, as :class:`~bench.demo.sender.Sender` has it; build it with :meth:`open`."""

    sources: ClassVar[tuple[Source, ...]] = (DLR, BILL)
    places: ClassVar[Mapping[str, str]] = {}
    story: ClassVar[RenderableType | None] = None

    def __init__(self, pool: asyncpg.Pool, exchanges: Mapping[str, AbstractExchange]) -> None:
        self.sent = 0
        self.published: Counter[str] = Counter()
        self.rubbish = 0
        self._pool = pool
        self._exchanges = exchanges
        self._stop = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, pool: asyncpg.Pool) -> AsyncIterator[Self]:
        """Connect to the broker at ``url``, and make the accounts."""
        await pool.executemany(_ADD_ACCOUNT, ACCOUNTS)
        await pool.executemany(_ADD_BALANCE, [(account.id,) for account in ACCOUNTS])
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel(publisher_confirms=False)
            exchanges = {
                stream: await channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC)
                for stream, name in _EXCHANGES.items()
            }
            yield cls(pool, exchanges)

    async def run(self, rate: float) -> None:
        """Send ``rate`` SMS per second, however long each takes, until :meth:`stop`."""
        time = asyncio.get_running_loop().time
        started = time()
        async with asyncio.TaskGroup() as lives:
            for number, sms in enumerate(samples()):
                await self._pause(started + number / rate - time())
                if self._stop.is_set():
                    break
                lives.create_task(self._live(sms))

    def stop(self) -> None:
        """Send no more, and let all that is still to be said of the others be said at once."""
        self._stop.set()

    async def _live(self, sms: Sms) -> None:
        """See one message through: its CDR, answers, charge and receipts."""
        late = dice.random() < LATE_CDRS
        self.sent += 1
        if not late:
            await self._insert(sms)
        for status in sms.fate.answers:
            await self._pause(dice.uniform(0.01, 0.2))
            await self._publish(shapes.answer(sms, status))
        if charge := shapes.bill(sms, status):
            await self._publish(charge)
        if late:
            await self._pause(dice.uniform(0.05, 0.5))
            await self._insert(sms)
        for status in sms.fate.receipts:
            await self._pause(dice.uniform(0.2, 3))
            for operator_id in sms.operator_ids:
                await self._publish(shapes.receipt(sms, operator_id, status))
        if dice.random() < RUBBISH:
            self.rubbish += 1
            await self._publish(shapes.rubbish())

    async def _insert(self, sms: Sms) -> None:
        await self._pool.execute(
            _ADD_CDR,
            sms.message_id,
            sms.account.id,
            sms.connector_id,
            sms.msisdn,
            sms.sender,
            len(sms.operator_ids),
            sms.price,
            datetime.now(UTC),
        )

    async def _publish(self, publication: Publication) -> None:
        self.published[publication.stream] += 1
        await self._exchanges[publication.stream].publish(
            publication.message, publication.routing_key, mandatory=False
        )

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not once told to stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
