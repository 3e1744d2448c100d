"""Messages as they are on the wire."""

from __future__ import annotations

from datetime import UTC, datetime

from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from service.broker.delivery import Delivery
from service.events.message import Message

METHOD_OCTETS = 12  # of a content header, before its property flags


def header_of(message: Message, times_before: int | None = None) -> bytes:
    """Return a message's property flags and list, as a quorum queue would send it."""
    counted = {} if times_before is None else {"x-delivery-count": times_before}
    headers = {**message.headers, **counted}
    stamp = message.published_at
    properties = commands.Basic.Properties(
        message_id=message.message_id,
        headers=headers or None,
        timestamp=None if stamp is None else datetime.fromtimestamp(stamp, UTC),
    )
    return properties.marshal()


def delivery_of(
    message: Message, tag: int = 1, *, redelivered: bool = False, times_before: int | None = None
) -> Delivery:
    """Return a delivery as it comes out of the reader."""
    route = b"".join(
        bytes([len(text)]) + text.encode() for text in (message.exchange, message.routing_key)
    )
    return Delivery(tag, redelivered, route, header_of(message, times_before), message.body)


def frames_of(delivery: Delivery, channel: int = 1, *, largest: int = 131_072) -> bytes:
    """Return a delivery as RabbitMQ sends it, in bodies of ``largest`` octets at most."""
    end = 1 + delivery.route[0]
    method = commands.Basic.Deliver(
        consumer_tag="ctag",
        delivery_tag=delivery.tag,
        redelivered=delivery.redelivered,
        exchange=delivery.route[1:end].decode(),
        routing_key=delivery.route[end + 1 :].decode(),
    )
    header = ContentHeader(body_size=len(delivery.body))
    start = header.marshal()[:METHOD_OCTETS]
    content = frame.marshal(_Ready(start + delivery.header), channel)
    bodies = [
        frame.marshal(ContentBody(delivery.body[at : at + largest]), channel)
        for at in range(0, len(delivery.body), largest)
    ]
    return b"".join([frame.marshal(method, channel), content, *bodies])


class _Ready(ContentHeader):
    """A content header whose octets are given."""

    def __init__(self, octets: bytes) -> None:
        super().__init__()
        self._octets = octets

    def marshal(self) -> bytes:
        return self._octets
