"""Connects to the host of several that can be written: a primary among its standbys."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import asyncpg

from service.addresses import Turns
from service.database_url import place
from service.store.errors import describe

if TYPE_CHECKING:
    from service.settings import Database

# For each host. A database that comes back is asked again soon.
CONNECT_SECONDS = 5

# The next host may answer: this one is away, starting or stopping, or a standby.
_ELSEWHERE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TargetServerAttributeNotMatched,
)


class Hosts:
    """The hosts of ``database.url``, tried in its order; what has failed comes last from then on.

    The client library takes URLs with several hosts as well, but has one time limit for all of
    them, which a machine that is gone without a word uses up.
    """

    def __init__(self, settings: Database) -> None:
        self._urls = Turns(settings.urls)

    async def connect(self, dsn: str | None = None, **options: Any) -> asyncpg.Connection:
        """Connect to one host; the ``connect`` of an asyncpg pool that is given no ``dsn``.

        Raises:
            What ``asyncpg.connect`` raises. Where several hosts are away, ConnectionError, whose
            text says how each is, or the error of a TLS session that is refused.
        """
        failures: dict[str, Exception] = {}
        for url in self._urls:
            try:
                return await asyncpg.connect(url, timeout=CONNECT_SECONDS, **options)
            except Exception as error:
                self._urls.failed(url)
                if len(self._urls) == 1 or not isinstance(error, _ELSEWHERE):
                    raise
                failures[place(url)] = error
        for failure in failures.values():
            if isinstance(failure, ssl.SSLError):
                raise failure
        raise ConnectionError("; ".join(f"{host}: {describe(e)}" for host, e in failures.items()))
