"""One message of a dead queue, as these commands see it."""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

from service.broker import marks
from service.broker.marks import Death
from service.broker.properties import own_id
from service.events.message import Message

if TYPE_CHECKING:
    from aiormq.abc import DeliveredMessage

    from service.broker.topology import Source

_DIGEST_BYTES = 6
_SEPARATOR = b"\x1f"


class Letter(NamedTuple):
    """A dead letter.

    Attributes:
        tag: its delivery tag on the channel that it was taken from.
        stream: dlr, bill or submit.
        message: as it lies in the dead queue, marks included.
    """

    tag: int
    stream: str
    message: Message
    death: Death

    @property
    def id(self) -> str:
        """A short digest of its content; copies of one dead letter share it."""
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for part in (self.stream, self.message.message_id, *map(str, self.death)):
            digest.update((part or "").encode(errors="replace") + _SEPARATOR)
        digest.update(self.message.body)
        return digest.hexdigest()

    @property
    def time(self) -> str:
        """Since when it is dead, in UTC."""
        at = self.death.at
        return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def letter(stream: str, source: Source, delivered: DeliveredMessage) -> Letter:
    """Read what ``basic.get`` has delivered."""
    frame: Any = delivered.delivery
    properties = delivered.header.properties
    headers = properties.headers or {}
    message = Message(
        exchange=frame.exchange,
        routing_key=frame.routing_key,
        message_id=own_id(properties.message_id, headers),
        headers=headers,
        body=delivered.body,
    )
    return Letter(frame.delivery_tag, stream, message, marks.read(source, message))
