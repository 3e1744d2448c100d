"""What the decoders accept, PostgreSQL takes: a row that it refuses is a hole in a decoder."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest

from bench.stack import Stack
from service.broker.delivery import Delivery
from service.broker.properties import Properties
from service.events.decode import BillDecoder, DlrDecoder, SubmitDecoder
from service.events.message import Message
from service.events.records import Refused
from service.settings import Refund
from service.store.batches import Arrival, Batches
from service.store.bill_writer import BillWriter
from service.store.circuit import Circuit
from service.store.dlr_writer import DlrWriter
from service.store.money import Money
from service.store.outcomes import Outcome
from service.store.pool import ping
from service.store.refund_policy import RefundPolicy
from service.store.submit_writer import SubmitWriter
from tests.support.gateway import Gateway
from tests.support.mutations import mutants
from tests.support.seed import SEED

WANTED = {"dlr": 4000, "bill": 4000, "submit": 1000}  # accepted messages
BATCH = 500


def delivered(message: Message, tag: int) -> Delivery:
    """Return a delivery of a message that need not be one that could be sent."""
    return Delivery(
        tag,
        redelivered=False,
        route=b"\0\0",
        header=b"",
        body=message.body,
        _properties=Properties(message.message_id, message.headers),
    )


@pytest.mark.parametrize("stream", WANTED)
async def test_everything_accepted_can_be_stored(
    stack: Stack, gateway: Gateway, database: str, stream: str
) -> None:
    money = Money(RefundPolicy(Refund()), debits=False, patience=60)
    utc = ZoneInfo("UTC")
    decode, writer = {
        # The receipt log converts what a CDR that does not move would not.
        "dlr": (DlrDecoder(utc, 65_536), DlrWriter(money, receipt_log=True)),
        "bill": (BillDecoder(65_536), BillWriter(money)),
        "submit": (SubmitDecoder(utc, 65_536, keep_text=True), SubmitWriter(money)),
    }[stream]
    arrivals = []
    for number, message in enumerate(mutants(stream, 20 * WANTED[stream], SEED), start=1):
        try:
            [event] = decode([message])
        except Refused:
            continue
        if stream == "submit":  # or most would be there already
            event = msgspec.structs.replace(event, message_id=f"{event.message_id}-{number}"[-255:])
        arrivals.append(Arrival(delivered(message, number), event))
        if len(arrivals) == WANTED[stream]:
            break
    named = {arrival.event.message_id for arrival in arrivals} - {None}
    # Some have a CDR, for an account of their own; the others are parked, or written.
    await gateway.add_cdrs(sorted(named)[::2])
    async with asyncpg.create_pool(stack.postgres.dsn(database), min_size=1, max_size=2) as pool:
        batches = Batches(pool, writer, Circuit(lambda: ping(pool), "here"))
        for start in range(0, len(arrivals), BATCH):
            part = arrivals[start : start + BATCH]
            for arrival, result in zip(part, await batches.write(part), strict=True):
                assert isinstance(result, Outcome), (
                    f"{result!r}: {arrival.delivery.message!r:.2000}"
                )
    assert len(arrivals) == WANTED[stream]
