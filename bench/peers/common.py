"""What the Python peers share: their settings, what a receipt says, how they tell of commits."""

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import orjson

from service.events.statuses import status_of


@dataclass(frozen=True)
class Settings:
    """Where a peer works, and how.

    Attributes:
        amqp_url: of the broker.
        database_url: of the database.
        queue: that is consumed, and exists.
        prefetch: unacknowledged messages at most.
        batch_size: messages in one transaction.
    """

    amqp_url: str
    database_url: str
    queue: str
    prefetch: int
    batch_size: int

    @classmethod
    def from_environment(cls) -> Self:
        """Raises KeyError when a variable is missing."""
        return cls(
            amqp_url=os.environ["PEER_AMQP_URL"],
            database_url=os.environ["PEER_DATABASE_URL"],
            queue=os.environ["PEER_QUEUE"],
            prefetch=int(os.environ["PEER_PREFETCH"]),
            batch_size=int(os.environ["PEER_BATCH_SIZE"]),
        )


class Receipt(NamedTuple):
    """The columns of a CDR that a receipt sets, and the rank of its status."""

    message_id: str
    status: str
    delivery_at: datetime | None
    error_code: str | None
    dlr_payload: str
    rank: int


class DlrEvent(msgspec.Struct):
    """A receipt of the JSON contract, as far as it is of interest."""

    message_id: str
    status: str
    dlr_details: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(DlrEvent)


def decode(body: bytes) -> Receipt:
    """Read a receipt of the JSON contract. Raises ValueError."""
    try:
        event = _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a receipt: {error}") from error
    return receipt(event.message_id, event.status, event.dlr_details or {})


def receipt(message_id: str, status: str, details: dict[str, Any]) -> Receipt:
    """Return what a receipt comes to. Raises ValueError for a done date that is none."""
    meaning = status_of(status)
    done = details.get("done_date")
    return Receipt(
        message_id,
        meaning.cdr_status,
        datetime.fromisoformat(done).replace(tzinfo=UTC) if done else None,
        details.get("err"),
        orjson.dumps(details).decode(),
        meaning.rank,
    )


def statement(name: str) -> str:
    """Return the SQL of a file in this directory."""
    return Path(__file__).with_name(f"{name}.sql").read_text()


def tell(size: int, committed_at: float) -> None:
    """Log that events were committed, in the words of the service; seconds since the epoch."""
    timestamp = datetime.fromtimestamp(committed_at, UTC).isoformat(timespec="microseconds")
    line = {"event": "batch", "size": size, "timestamp": timestamp.replace("+00:00", "Z")}
    sys.stderr.write(orjson.dumps(line).decode() + "\n")
    sys.stderr.flush()


class Tally:
    """Adds up commits of one event each, so that telling of them costs next to nothing."""

    _SECONDS = 0.1

    def __init__(self) -> None:
        self._size = 0
        self._committed_at = 0.0

    def count(self) -> None:
        """Another one was committed."""
        self._size += 1
        self._committed_at = time.time()

    def tell(self) -> None:
        """Log what was committed since the last time, with the time of the last commit."""
        if self._size:
            tell(self._size, self._committed_at)
            self._size = 0

    async def run(self) -> None:
        """Tell ten times a second."""
        while True:
            await asyncio.sleep(self._SECONDS)
            self.tell()


async def until_stopped() -> None:
    """Wait for SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
