"""Which database errors are the event's fault, and which are the database's."""

from __future__ import annotations

from typing import Final

import asyncpg
from asyncpg import exceptions as pg

from service.store.columns import NotStorable

# The rows were refused: the same rows will be refused again.
DATA_ERRORS: Final = (
    pg.DataError,
    pg.IntegrityConstraintViolationError,
    pg.ProgramLimitExceededError,
    NotStorable,
)

# The database is away, restarting, read-only, out of connections, locked, or not as it should
# be: the same rows will be taken once it is well.
OUTAGES: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # its connection was taken away at a bad moment
    pg.PostgresConnectionError,
    pg.OperatorInterventionError,
    pg.InsufficientResourcesError,
    pg.TransactionRollbackError,
    pg.ObjectNotInPrerequisiteStateError,
    pg.InvalidTransactionStateError,
    pg.InvalidAuthorizationSpecificationError,
    pg.InvalidCatalogNameError,
    pg.InsufficientPrivilegeError,
    pg.UndefinedTableError,
    pg.UndefinedColumnError,
    pg.UndefinedFunctionError,
    pg.PostgresSystemError,
    pg.InvalidSQLStatementNameError,  # a pooler in between that we were not told of
    pg.DuplicatePreparedStatementError,
)


def describe(error: BaseException) -> str:
    """Return one line for a log: the class and the server's message, without any row's values."""
    text = str(error).splitlines()[0] if str(error) else ""
    if not text and isinstance(error, TimeoutError):
        text = "no answer in time"  # of a lock that somebody else holds, for one
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
