"""When PostgreSQL committed what the CDRs hold. It blocks: for a thread, or with gevent."""

import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from bench.lab.database import Unusable

_TRIES: Final = 5
_NOW: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
_COUNT: Final = "SELECT count(*) FROM sms_cdr WHERE message_id = ANY(%s) AND status = %s"
_FIND: Final = """
    SELECT message_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8
    FROM sms_cdr
    WHERE message_id = ANY(%s) AND status <> %s
"""


class Commits:
    """Reads the time of the transaction that wrote a CDR, on this machine's clock.

    Args:
        dsn: URL of the database, which must have track_commit_timestamp = on.
        initial_status: of CDRs that no event has come for.

    Raises:
        psycopg.Error: it refuses.
    """

    def __init__(self, dsn: str, initial_status: str) -> None:
        self._initial_status = initial_status
        self._database = psycopg.connect(dsn, autocommit=True)
        self._ahead = self._clock_difference()

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def find(self, message_ids: Sequence[str]) -> list[tuple[str, float]]:
        """Return which of some messages an event has been committed for, and when."""
        found = self._database.execute(_FIND, (message_ids, self._initial_status)).fetchall()
        return [(message_id, at - self._ahead) for message_id, at in found]

    def must_await(self, message_ids: Sequence[str]) -> None:
        """Raise Unusable unless each of some messages has a CDR that no event has come for."""
        found = self._value(_COUNT, (message_ids, self._initial_status))
        if found != len(message_ids):
            raise Unusable(
                f"{found:,} of {len(message_ids):,} CDRs are there and as they are before an "
                "event; load the tables anew, with the same kind, cdrs and seed"
            )

    def _clock_difference(self) -> float:
        """Return how many seconds the database's clock is ahead: of several, the quickest answer's.

        On one machine that is next to nothing.
        """
        answers = []
        for _ in range(_TRIES):
            asked = time.time()
            told: float = self._value(_NOW)
            answered = time.time()
            answers.append((answered - asked, told - (asked + answered) / 2))
        return min(answers)[1]

    def _value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        row = self._database.execute(query.encode(), parameters).fetchone()
        return row[0] if row else None
