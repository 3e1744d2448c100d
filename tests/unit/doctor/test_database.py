"""Judgements on what several hosts of the database tell."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from service.doctor import database, server
from service.doctor.database import Host
from service.doctor.finding import Level
from service.doctor.look import Look
from service.settings import Database, Settings

SAFE = {"fsync": True, "full_page_writes": True, "synchronous_commit": "on", "standbys": "db_2"}
ONE = "postgresql://billing@db-1/billing"
TWO = "postgresql://billing@db-1,db-2/billing?target_session_attrs=read-write"


def look(url: str = TWO, **told) -> Look:
    row = {"version": "15.4 (Debian)", "read_only": False, **SAFE, **told}
    settings = Settings(database=Database(url=url))
    return Look("db-1", None, settings, row, timedelta(), timedelta())


async def durability(look: Look):
    (found,) = [finding async for finding in server._durability(look)]
    return found


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"standbys": " "}, "synchronous_standby_names is empty"),
        ({"synchronous_commit": "local"}, "synchronous_commit is local"),
        ({"standbys": "", "synchronous_commit": "off"}, "synchronous_commit is off"),
    ],
)
async def test_a_commit_must_wait_for_the_standby_that_takes_over(no_variables, told, says):
    found = await durability(look(**told))
    assert found.level is Level.PROBLEM
    assert found.says.startswith(says)


@pytest.mark.parametrize("told", [{}, {"synchronous_commit": "remote_write"}])
async def test_a_commit_that_waits_for_a_standby_outlives_a_failover(no_variables, told):
    found = await durability(look(**told))
    assert found.level is Level.OK
    assert "a crash and a failover" in found.says


async def test_one_host_alone_needs_no_standby(no_variables):
    found = await durability(look(ONE, standbys="", synchronous_commit="local"))
    assert found.level is Level.OK
    assert "failover" not in found.says


def levels(*hosts: Host) -> list[list[Level]]:
    chosen = database._chosen([host.look for host in hosts if host.look is not None])
    return [[found.level for found in database._told(host, chosen)] for host in hosts]


AWAY = Host("db-9", [ConnectionRefusedError("refused")])
POOLED = asyncpg.ProtocolViolationError("unsupported startup parameter: jit")


def test_the_primary_is_examined_and_each_other_host_told(no_variables):
    standby = Host("db-2", [], look(read_only=True))
    primary = Host("db-1", [], look())
    assert levels(standby, primary, AWAY) == [[Level.OK], [], [Level.WARNING]]
    assert database._chosen([standby.look, primary.look]) is primary.look


def test_without_a_primary_whoever_is_away_is_a_problem(no_variables):
    assert levels(AWAY) == [[Level.PROBLEM]]
    assert levels(Host("db-2", [], look(read_only=True)), AWAY) == [[], [Level.PROBLEM]]


def test_a_pooler_that_is_not_set_is_a_problem_of_the_host_in_use(no_variables):
    assert levels(Host("db-1", [POOLED], look())) == [[Level.PROBLEM]]


def test_two_primaries_are_told(no_variables):
    assert levels(Host("db-1", [], look()), Host("db-2", [], look())) == [[], [Level.WARNING]]
