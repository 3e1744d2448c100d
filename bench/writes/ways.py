"""Ways of getting a batch of receipts into the CDRs, all of which end in the same UPDATE."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg

from service.events.records import Receipt
from service.store.columns import NULL, SEPARATOR
from service.store.dlr_writer import parameters
from service.store.sql import statement


class Way(NamedTuple):
    """One way.

    Attributes:
        name: shown in results.
        write: settles receipts of known messages, in the caller's transaction.
        prepare: the statement that a connection begins with.
    """

    name: str
    write: Callable[[asyncpg.Connection, Sequence[Receipt]], Awaitable[None]]
    prepare: str = ""


def message_ids(receipts: Sequence[Receipt]) -> list[str]:
    """Return the message ids of receipts that have one."""
    return [receipt.message_id or "" for receipt in receipts]


def copy_text(columns: Sequence[str]) -> bytes:
    """Return columns, as store/columns.py joins them, as rows for COPY."""
    values = [_escaped(column).split(SEPARATOR) for column in columns]
    return "\n".join(map(SEPARATOR.join, zip(*values, strict=True))).encode()


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace("\r", r"\r")


def _sql(name: str) -> str:
    return (Path(__file__).parent / f"{name}.sql").read_text()


# But for where it takes the batch from, the service's statement is that of all ways.
_SETTLE: Final = statement("settle_dlrs")
_BATCH: Final = _SETTLE[_SETTLE.index("unnest(") : _SETTLE.index("    WHERE c.message_id")]
_SETTLE_ARRAYS: Final = _SETTLE.replace(_BATCH, _sql("arrays"))
_SETTLE_COPIED: Final = _SETTLE.replace(_BATCH, "dlr\n").replace("$8", "$1")


async def _write_texts(connection: asyncpg.Connection, receipts: Sequence[Receipt]) -> None:
    columns = parameters(message_ids(receipts), receipts)
    await connection.fetch(_SETTLE, *columns, len(receipts))


async def _write_arrays(connection: asyncpg.Connection, receipts: Sequence[Receipt]) -> None:
    await connection.fetch(
        _SETTLE_ARRAYS,
        message_ids(receipts),
        [receipt.status.cdr_status for receipt in receipts],
        [receipt.status.rank for receipt in receipts],
        [receipt.done_at and int(receipt.done_at.timestamp()) for receipt in receipts],
        [receipt.error_code for receipt in receipts],
        [receipt.details for receipt in receipts],
        [receipt.smpp_msgid for receipt in receipts],
        len(receipts),
    )


async def _write_copy(connection: asyncpg.Connection, receipts: Sequence[Receipt]) -> None:
    text = copy_text(parameters(message_ids(receipts), receipts))
    await connection.copy_to_table("dlr", source=_once(text), delimiter=SEPARATOR, null=NULL)
    await connection.fetch(_SETTLE_COPIED, len(receipts))


async def _once(text: bytes) -> AsyncIterator[bytes]:
    yield text


# The first is what the service does.
WAYS: Final = (
    Way("texts", _write_texts),
    Way("arrays", _write_arrays),
    Way("copy", _write_copy, prepare=_sql("copy")),
)
