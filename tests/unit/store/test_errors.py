from __future__ import annotations

import inspect

import asyncpg
import pytest

from service.store.errors import DATA_ERRORS, OUTAGES, describe


def server_error(sqlstate: str, **more: str) -> asyncpg.PostgresError:
    """Return the exception that asyncpg raises when the server says so."""
    return asyncpg.PostgresError.new({"S": "ERROR", "C": sqlstate, "M": "message", **more})


@pytest.mark.parametrize(
    "sqlstate",
    [
        "22001",  # string data right truncation
        "22003",  # numeric value out of range
        "22008",  # datetime field overflow
        "22021",  # character not in repertoire: NUL
        "22P02",  # invalid text representation
        "22P05",  # untranslatable character: \u0000 in jsonb
        "23502",  # not null violation
        "23503",  # foreign key violation
        "23505",  # unique violation
        "23514",  # check violation
        "54000",  # program limit exceeded: a value too long for an index
    ],
)
def test_rows_that_the_database_refuses_are_data_errors(sqlstate):
    assert isinstance(server_error(sqlstate), DATA_ERRORS)


@pytest.mark.parametrize(
    "sqlstate",
    [
        "08000",  # connection exception
        "08006",  # connection failure
        "25006",  # read only transaction: a standby
        "25P02",  # in failed transaction
        "28P01",  # invalid password, changed meanwhile
        "3D000",  # no such database
        "40001",  # serialization failure
        "40P01",  # deadlock
        "42501",  # insufficient privilege
        "42703",  # undefined column: a migration is under way
        "42883",  # undefined function
        "42P01",  # undefined table
        "53100",  # disk full
        "53200",  # out of memory
        "53300",  # too many connections
        "55P03",  # lock not available
        "57014",  # query canceled: statement timeout
        "57P01",  # admin shutdown
        "57P02",  # crash shutdown
        "57P03",  # cannot connect now: starting up
        "58030",  # I/O error
    ],
)
def test_a_database_that_is_not_well_is_an_outage(sqlstate):
    assert isinstance(server_error(sqlstate), OUTAGES)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        ConnectionResetError(),
        TimeoutError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.ConnectionDoesNotExistError("closed in the middle of operation"),
    ],
)
def test_a_connection_that_breaks_is_an_outage(error):
    assert isinstance(error, OUTAGES)


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), server_error("42601")])
def test_a_bug_of_ours_is_neither(error):
    assert not isinstance(error, OUTAGES + DATA_ERRORS)


def test_no_error_is_both():
    every = [kind for _, kind in inspect.getmembers(asyncpg.exceptions, inspect.isclass)]
    assert len(every) > 200
    both = [k for k in every if issubclass(k, OUTAGES) and issubclass(k, DATA_ERRORS)]
    assert not both


def test_a_description_is_one_line_without_any_rows_values():
    error = server_error("23505", M="duplicate key\nmore", D="Key (name)=(secret) exists.")
    assert "secret" in str(error)
    assert describe(error) == "UniqueViolationError: duplicate key"
    assert describe(TimeoutError()) == "TimeoutError: no answer in time"
