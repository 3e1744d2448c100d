"""Failures of the broker's side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiormq.exceptions import AMQPError, ChannelInvalidStateError

# RabbitMQ is away, or went away, or answered with something that a new connection may mend.
OUTAGES = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError)


class BrokenContent(ConnectionError):
    """Frames came that do not make a delivery; the transport is closed for it."""


class Unreachable(ConnectionError):
    """No address of the broker takes a connection; the text names each of them, and says why."""


class SessionLost(ConnectionError):
    """The session with the broker is over; what it had not acknowledged will come again."""


@contextmanager
def opening_channel() -> Iterator[None]:
    """Take for a lost session what aiormq raises when the connection has closed meanwhile."""
    try:
        yield
    except RuntimeError as error:  # and no other word of it
        raise SessionLost(str(error)) from error


class HeldTooLong(SessionLost):
    """A batch could not be settled in time; its messages go back to the broker."""

    def __init__(self, queue: str, seconds: float) -> None:
        super().__init__(
            f"{queue}: a batch was held for {seconds:g} s; its messages go back to the broker"
        )
