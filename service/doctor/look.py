"""A connection to a host of the database, and what it tells at once of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from service.store.sql import statement

if TYPE_CHECKING:
    import asyncpg

    from service.settings import Settings


class Look(NamedTuple):
    """What all checks of the database share.

    Attributes:
        place: where it is, as ``database.url`` names it.
        connection: to it.
        settings: all of them.
        server: a row of ``doctor/server.sql``.
        ahead: by how much the database's clock is ahead of this machine's.
        precision: how far that may be wrong.
    """

    place: str
    connection: asyncpg.Connection
    settings: Settings
    server: asyncpg.Record
    ahead: timedelta
    precision: timedelta

    @property
    def version(self) -> str:
        """PostgreSQL's, as people write it."""
        return str(self.server["version"].split()[0])


async def look(connection: asyncpg.Connection, settings: Settings, place: str) -> Look:
    """Ask a server what it is, and its clock."""
    async with connection.transaction(readonly=True):
        before = datetime.now(UTC)
        (server,) = await connection.fetch(statement("doctor/server"))
        after = datetime.now(UTC)
    ahead = server["now"] - before - (after - before) / 2
    return Look(place, connection, settings, server, ahead, (after - before) / 2)
