"""What the sample messages make Jasmin publish: events, and at times rubbish."""

import time
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import uuid4

from aio_pika import DeliveryMode, Message

from bench import formats
from bench.demo.sms import Sms, dice
from bench.formats import Report
from service.broker.topology import BILL, DLR

ERROR_CODES: Final = {"DELIVRD": "000", "ACCEPTD": "000", "UNDELIV": "001", "EXPIRED": "027"}

_STREAMS: Final = {DLR.exchange: "dlr", BILL.exchange: "bill"}
_RUBBISH: Final = (
    formats.Publication(DLR.exchange, "dlr.deliver_sm", b'{"message_id": "cut of'),
    formats.Publication(DLR.exchange, "dlr.deliver_sm", b"who am I?"),
    formats.Publication(
        BILL.exchange,
        "bill_request.submit_sm_resp.acme",
        b"no-number",
        "no-number",
        {"user-id": "acme", "amount": "a lot"},
    ),
)


class Publication(NamedTuple):
    """A message and where it goes; ``stream`` is the service's name for the queue it ends in."""

    stream: str
    routing_key: str
    message: Message


def answer(sms: Sms, status: str) -> Publication:
    """The operator's answer to one submission; of a long message it names the last part."""
    return _transient(formats.answer(sms, sms.operator_ids[-1], status))


def bill(sms: Sms, status: str) -> Publication | None:
    """The charge for all parts. A stock Jasmin publishes none for what the operator refused."""
    if sms.native and status != "ESME_ROK":
        return None
    return _transient(formats.bill(sms, str(uuid4()), str(sms.price), status))


def receipt(sms: Sms, operator_id: str, status: str) -> Publication:
    """A delivery receipt for one part."""
    minute = datetime.now(UTC).strftime("%y%m%d%H%M")
    report = Report(
        minute,
        minute,
        ERROR_CODES.get(status, "099"),
        text="sample",
        dlvrd="001" if status == "DELIVRD" else "000",
    )
    return _transient(formats.receipt(sms, operator_id, status, report))


def rubbish() -> Publication:
    """Something that nobody can settle, for the dead queues."""
    return _transient(dice.choice(_RUBBISH))


def _transient(what: formats.Publication) -> Publication:
    """Make a transient message, as Jasmin's are, with the time (ms) from which its age counts."""
    message = Message(
        what.body,
        message_id=what.message_id,
        delivery_mode=DeliveryMode.NOT_PERSISTENT,
        headers={**what.headers, "timestamp_in_ms": time.time_ns() // 1_000_000},
    )
    return Publication(_STREAMS[what.exchange], what.routing_key, message)
