"""Which accounts events are of."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

from service.store.sql import statement

if TYPE_CHECKING:
    from service.store.pool import Connection


async def find_accounts(
    connection: Connection, uids: Collection[str], *, with_balance: bool
) -> dict[str, UUID]:
    """Return those accounts that there are.

    Args:
        connection: in a transaction or not.
        uids: as events name them: by their uid in Jasmin, or by their UUID.
        with_balance: whether one without a balance will not do, since it is to be debited.
    """
    if not uids:
        return {}
    named = list(uids)
    rows = await connection.fetch(statement("find_accounts"), named, [as_uuid(u) for u in named])
    return {row["uid"]: row["account_id"] for row in rows if row["has_balance"] or not with_balance}


def as_uuid(uid: str) -> UUID | None:
    """Return an account's UUID, where it is named by that."""
    try:
        return UUID(uid)
    except ValueError:
        return None
