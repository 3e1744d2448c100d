"""One message as a channel delivered it; what is seldom asked for is decoded when it is."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from service.broker import properties
from service.broker.properties import Properties
from service.events.message import Message

# Set by anyone who wants to be measured. Jasmin cannot read it where RabbitMQ sets it.
TIMESTAMP_MS = "timestamp_in_ms"


class Delivery(msgspec.Struct, gc=False):
    """A delivery as on the wire (AMQP 0-9-1, basic.deliver and its content).

    Attributes:
        tag: its delivery tag, to acknowledge it by on the same channel.
        redelivered: the broker has delivered it before, to anyone.
        route: exchange and routing key, a short string each.
        header: the property flags and list of its content header.
        body: its payload.
    """

    tag: int
    redelivered: bool
    route: bytes
    header: bytes
    body: bytes
    _properties: Properties | None = None

    @property
    def properties(self) -> Properties:
        """Its AMQP properties, decoded."""
        if self._properties is None:
            self._properties = properties.decode(self.header)
        return self._properties

    @property
    def routing_key(self) -> str:
        """As it was published last."""
        return _route(self.route)[1]

    @property
    def message_id(self) -> str | None:
        """The property message-id."""
        return self.properties.message_id

    @property
    def headers(self) -> dict[str, Any]:
        """The header table, without what the queue adds to it."""
        return self.properties.headers

    @property
    def times_before(self) -> int | None:
        """How often it was delivered before; None where the queue does not count (a classic one).

        A quorum queue says nothing either on the first delivery.
        """
        return self.properties.delivery_count

    @property
    def published_at(self) -> float | None:
        """POSIX time in seconds, where a header or property says so."""
        stamp = self.headers.get(TIMESTAMP_MS)
        return stamp / 1000 if isinstance(stamp, int) else self.properties.timestamp

    @property
    def message(self) -> Message:
        """The message apart from its channel, as it is parked or dead-lettered."""
        exchange, routing_key = _route(self.route)
        return Message(
            exchange=exchange,
            routing_key=routing_key,
            message_id=self.message_id,
            headers=self.headers,
            body=self.body,
            published_at=self.published_at,
        )


@lru_cache(maxsize=1024)
def _route(route: bytes) -> tuple[str, str]:
    end = 1 + route[0]
    exchange, routing_key = route[1:end], route[end + 1 : end + 1 + route[end]]
    return exchange.decode(errors="replace"), routing_key.decode(errors="replace")
