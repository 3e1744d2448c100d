"""Tells the log of a server that is away: at once, then now and then, and when it is back."""

from __future__ import annotations

import time
from typing import Final

import structlog

# All workers of all hosts tell of the same outage, which may last for hours.
TELL_SECONDS: Final = 60.0

log = structlog.get_logger()


class Outage:
    """What is known of one server, whether it is away just now or not.

    Args:
        name: of the server, as in "PostgreSQL is away".
        where: its host and port, or those of several.
    """

    def __init__(self, name: str, where: str) -> None:
        self._name = name
        self._where = where
        self._since: float | None = None
        self._tell_at = 0.0

    def goes_on(self, error: str, **details: object) -> None:
        """Note that it has failed; tell the first time, and once in ``TELL_SECONDS`` from then on.

        Args:
            error: how it has failed, in a line.
            details: go into the log's line as they are.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
        elif now < self._tell_at:
            return
        else:
            details["away_s"] = round(now - self._since)
        self._tell_at = now + TELL_SECONDS
        log.error(f"{self._name} is away; trying again", server=self._where, error=error, **details)

    def ends(self) -> None:
        """Note that it has answered; tell, where it was away before."""
        if self._since is not None:
            away = round(time.monotonic() - self._since)
            self._since = None
            log.info(f"{self._name} is back", server=self._where, away_s=away)
