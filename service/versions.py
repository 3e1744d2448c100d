"""The oldest servers that this service works with; docs/versions.md tells what was run."""

from __future__ import annotations

import re
from typing import Final

from service.exits import CannotStart

OLDEST_POSTGRESQL: Final = 13
OLDEST_RABBITMQ: Final = (3, 10)


def check_postgresql(major: int) -> None:
    """Refuse a PostgreSQL that does not know the SQL of this service.

    Raises:
        CannotStart: it is too old.
    """
    if major < OLDEST_POSTGRESQL:
        raise CannotStart(
            f"PostgreSQL {major} is too old: this service needs {OLDEST_POSTGRESQL} or later "
            "(docs/versions.md); upgrade it, or set database.url (BILLING_DATABASE_URL) to another"
        )


def is_old_rabbitmq(version: str) -> bool:
    """Whether a broker is older than any that was tested; False where its version is no number.

    It is not refused: classic queues may well work there, and quorum queues, which could not have
    a time limit yet, the broker refuses itself.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and tuple(map(int, found.groups())) < OLDEST_RABBITMQ
