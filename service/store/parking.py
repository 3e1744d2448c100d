"""Events that came too early, kept in the database until what they belong to appears."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from service.events.message import Message, from_json, to_json
from service.store.sql import statement

if TYPE_CHECKING:
    from service.store.pool import Connection

_DIGEST_BYTES = 16
_SEPARATOR = "\x1f"


class Keys(NamedTuple):
    """What a parked event waits for; all that is given must be there.

    Attributes:
        message_id: the key of a CDR.
        operator_ids: forms of an operator's id, one of which must be linked to a CDR, or
        guessed_ids: less certain forms of it, after a while.
        uid: an account's uid in Jasmin, or
        account_id: the same as an account's UUID, where it is one.
    """

    message_id: str | None = None
    operator_ids: Sequence[str] = ()
    guessed_ids: Sequence[str] = ()
    uid: str | None = None
    account_id: UUID | None = None


class Parked(NamedTuple):
    """One event taken from the parking."""

    digest: bytes
    message: Message


async def park(connection: Connection, stream: str, events: Sequence[tuple[Message, Keys]]) -> None:
    """Keep events, in the transaction of the batch that they came in."""
    rows = []
    for message, keys in events:
        text = to_json(message)
        digest = hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
        row = (
            digest,
            keys.message_id,
            _SEPARATOR.join(keys.operator_ids) or None,
            _SEPARATOR.join(keys.guessed_ids) or None,
            keys.uid,
            keys.account_id,
            text,
        )
        rows.append(row)
    rows.sort(key=lambda row: row[0])  # all workers lock keys in the same order
    digests, *columns = zip(*rows, strict=True)
    await connection.execute(statement("park"), digests, stream, *columns)


async def claim_ready(
    connection: Connection, stream: str, limit: int, eighth: int, guess_grace: float
) -> list[Parked]:
    """Take events that can be applied now, locked until the caller's transaction ends.

    Args:
        connection: in the caller's transaction.
        stream: whose events.
        limit: how many at most.
        eighth: which eighth of the old ones to look at, 0 to 7.
        guess_grace: seconds parked after which a guessed id will do.
    """
    rows = await connection.fetch(statement("claim_parked"), stream, limit, eighth, guess_grace)
    return [Parked(digest, from_json(text)) for digest, text in rows]


async def claim_expired(
    connection: Connection, stream: str, ttl: float, limit: int
) -> list[Parked]:
    """Take events that have waited for more than ``ttl`` seconds, locked likewise."""
    rows = await connection.fetch(statement("claim_expired"), stream, ttl, limit)
    return [Parked(digest, from_json(text)) for digest, text in rows]


async def claim_part_candidates(connection: Connection, grace: float, limit: int) -> list[Parked]:
    """Take receipts that have matched nothing for ``grace`` seconds; again ever more rarely."""
    rows = await connection.fetch(statement("claim_part_candidates"), grace, limit)
    return [Parked(digest, from_json(text)) for digest, text in rows]


async def keep(connection: Connection, events: Sequence[Parked]) -> None:
    """Put events that could not be applied after all behind the others."""
    await connection.execute(statement("keep_parked"), [parked.digest for parked in events])


async def unpark(connection: Connection, events: Sequence[Parked]) -> None:
    """Forget events that have been applied or dead-lettered."""
    await connection.execute(statement("unpark"), [parked.digest for parked in events])
