"""A stand-in for the gateway around Jasmin: inserts CDRs, publishes events, looks at queues."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import aio_pika
import asyncpg
from pamqp import commands as spec

from bench.formats import Publication

CAPTURE = Path(__file__).parent.parent / "data" / "jasmin-0.10.13.jsonl"
ACCOUNT = UUID("6f2e4c1a-53f1-4b7e-9a55-0c8f8a3c1d01")
JASMIN_UID = "acct-1"
PRICE = Decimal("0.01")


def capture() -> list[Publication]:
    """Return what a stock Jasmin published, in order."""
    return [
        Publication(
            exchange=row["exchange"],
            routing_key=row["routing_key"],
            body=base64.b64decode(row["body_base64"]),
            message_id=row["message_id"],
            headers={name: _octets(value) for name, value in row["headers"].items()},
        )
        for row in map(json.loads, CAPTURE.read_text().splitlines())
    ]


def submissions() -> dict[str, int]:
    """Return the message id of every submission in the capture, with its parts."""
    bills = {}
    for publication in capture():
        if publication.routing_key.startswith("submit.sm.smsc"):
            assert publication.message_id is not None
            # A long message is submitted as a chain of PDUs, a pickle of twice the size.
            bills[publication.message_id] = 3 if len(publication.body) > 1500 else 1
    return bills


def dlr(message_id: str, status: str, **fields: Any) -> Publication:
    """Return a DLR of the JSON contract."""
    body = {
        "message_id": message_id,
        "status": status,
        "pdu_type": "submit_sm_resp" if status.startswith("ESME") else "deliver_sm",
        "smpp_msgid": f"op-{message_id}",
        "dlr_details": None
        if status.startswith("ESME")
        else {
            "id": f"op-{message_id}",
            "sub": "1",
            "dlvrd": "1",
            "submit_date": "2024-01-01 12:00:00",
            "done_date": "2024-01-01 12:00:05",
            "stat": status,
            "err": "000",
            "text": "hello",
        },
        **fields,
    }
    key = f"dlr.{body['pdu_type']}"
    return Publication("messaging", key, json.dumps(body).encode())


def bill(message_id: str, bid: str, status: str = "ESME_ROK", amount: str = "0.01") -> Publication:
    """Return a billing event of the JSON contract."""
    body = (
        f'{{"bid": "{bid}", "user": {{"uid": "{ACCOUNT}", "username": "acme"}}, '
        f'"amounts": {{"submit_sm_resp": {amount}}}, "message_id": "{message_id}", '
        f'"connector_id": "smsc1", "status": "{status}"}}'
    )
    return Publication("billing", f"bill_request.submit_sm_resp.{ACCOUNT}", body.encode())


class Gateway:
    """One virtual host and one database."""

    def __init__(self, amqp_url: str, dsn: str) -> None:
        self._amqp_url = amqp_url
        self._dsn = dsn

    async def __aenter__(self) -> Self:
        self.database = await asyncpg.connect(self._dsn)
        self._connection = await aio_pika.connect(self._amqp_url)
        self._channel = await self._connection.channel(on_return_raises=True)
        for name in ("messaging", "billing"):
            await self._channel.declare_exchange(name, "topic")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()
        await self.database.close()

    async def add_account(self) -> None:
        await self.database.execute(
            "INSERT INTO accounts (id, name, currency, jasmin_uid) VALUES ($1, 'acme', 'EUR', $2)",
            ACCOUNT,
            JASMIN_UID,
        )

    async def add_balance(self, balance: Decimal, account: UUID = ACCOUNT) -> None:
        await self.database.execute(
            "INSERT INTO account_balances (account_id, balance, currency) VALUES ($1, $2, 'EUR')",
            account,
            balance,
        )

    async def add_cdrs(
        self,
        message_ids: Iterable[str],
        parts: int = 1,
        *,
        price: Decimal | None = PRICE,
        account: UUID = ACCOUNT,
        connector: str = "smsc1",
    ) -> None:
        """Insert CDRs as the gateway writes them."""
        await self.database.executemany(
            "INSERT INTO sms_cdr (id, message_id, account_id, connector_id, parts, price)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            [(uuid4(), m, account, connector, parts, price) for m in message_ids],
        )

    async def publish(self, publications: Iterable[Publication]) -> None:
        """Publish transient, as Jasmin does, but wait for the broker to have it."""
        for chunk in batched(publications, 200):
            await asyncio.gather(*map(self._publish, chunk))

    async def _publish(self, item: Publication) -> None:
        exchange = await self._channel.get_exchange(item.exchange, ensure=False)
        message = aio_pika.Message(
            item.body,
            message_id=item.message_id,
            headers=dict(item.headers),
            delivery_mode=aio_pika.DeliveryMode.NOT_PERSISTENT,
        )
        await exchange.publish(message, item.routing_key, mandatory=False)

    async def publish_raw(
        self, routing_key: str, body: bytes, *, exchange: str = "messaging", **properties: Any
    ) -> None:
        """Publish with properties that only the wire format constrains."""
        channel = await self._channel.get_underlay_channel()
        await channel.basic_publish(
            body,
            exchange=exchange,
            routing_key=routing_key,
            properties=spec.Basic.Properties(**{"message_id": "raw"} | properties),
        )

    async def statuses(self) -> dict[str, str]:
        """Return the status of every CDR by message id."""
        return dict(await self.database.fetch("SELECT message_id, status FROM sms_cdr"))

    async def count(self, table: str, where: str = "true") -> int:
        """Return how many rows a table has."""
        return int(await self.database.fetchval(f"SELECT count(*) FROM {table} WHERE {where}"))

    async def waiting(self, queue: str) -> int:
        """Return how many messages wait in a queue; those with a consumer do not count."""
        channel = await self._connection.channel()
        declared = await channel.declare_queue(queue, passive=True)
        await channel.close()
        return int(declared.declaration_result.message_count or 0)

    async def consumers(self, queue: str) -> int:
        """Return how many consumers the broker has for a queue."""
        channel = await self._connection.channel()
        declared = await channel.declare_queue(queue, passive=True)
        await channel.close()
        return int(declared.declaration_result.consumer_count or 0)

    async def take(self, queue: str) -> list[aio_pika.abc.AbstractIncomingMessage]:
        """Take everything that waits in a queue that nobody else consumes."""
        async with self._connection.channel() as channel:
            declared = await channel.declare_queue(queue, passive=True)
            wanted = int(declared.declaration_result.message_count or 0)
            taken: list[aio_pika.abc.AbstractIncomingMessage] = []
            if wanted:
                async with declared.iterator(no_ack=True) as messages:
                    async for message in messages:
                        taken.append(message)
                        if len(taken) == wanted:
                            break
            return taken


def batched(items: Iterable[Publication], size: int) -> Iterator[list[Publication]]:
    """Yield items in lists of ``size``."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def reasons(dead: Sequence[aio_pika.abc.AbstractIncomingMessage]) -> list[str]:
    """Return why each of these is dead."""
    return [str(message.headers["x-billing-reason"]) for message in dead]


def _octets(value: Any) -> Any:
    return bytearray(base64.b64decode(value["$base64"])) if isinstance(value, dict) else value
