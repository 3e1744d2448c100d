from __future__ import annotations

import asyncio

import asyncpg
import pytest

from service import retry
from service.ops import metrics
from service.store import circuit as module
from service.store.circuit import Circuit, State


@pytest.fixture(autouse=True)
def _quick(logged, monkeypatch):
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(module, "LONGEST_DELAY_SECONDS", 0.002)


class Database:
    """Is away for some pings, and fails some work; knows how many were at it at once."""

    def __init__(self, away: int = 0, failures: int = 0) -> None:
        self.away = away
        self.failures = failures
        self.error: type[Exception] = asyncpg.AdminShutdownError
        self.pings = self.pinging = self.most = self.done = 0
        self.states: list[State] = []
        self.half_open = asyncio.Event()
        self.circuit = Circuit(self.ping, "db.example:5432")

    async def ping(self) -> None:
        self.pings += 1
        self.pinging += 1
        self.most = max(self.most, self.pinging)
        self.states.append(self.circuit.state)
        if self.circuit.state is State.HALF_OPEN:
            self.half_open.set()
        await asyncio.sleep(0)
        self.pinging -= 1
        if self.away:
            self.away -= 1
            raise asyncpg.CannotConnectNowError("starting up")

    async def work(self) -> str:
        self.done += 1
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise self.error("failed")
        return "done"


def opened() -> float:
    return metrics.CIRCUIT_OPENED._value.get()


async def test_what_is_well_is_done_once_and_asks_nothing_else():
    database = Database()
    assert await database.circuit.run(database.work) == "done"
    assert (database.done, database.pings) == (1, 0)


async def test_work_in_trouble_is_tried_again_without_opening():
    database, before = Database(failures=3), opened()
    database.error = asyncpg.DeadlockDetectedError
    assert await database.circuit.run(database.work) == "done"
    assert (database.done, database.pings) == (4, 3)
    assert opened() == before


async def test_it_opens_while_the_database_is_away_and_closes_when_it_answers():
    database, before = Database(away=3, failures=1), opened()
    assert await database.circuit.run(database.work) == "done"
    assert database.states == [State.CLOSED, *[State.HALF_OPEN] * 3]
    assert database.circuit.state is State.CLOSED
    assert database.done == 2
    assert opened() == before + 1


async def test_an_outage_is_told_when_it_begins_and_when_it_ends(logged):
    database = Database(away=9)
    await asyncio.gather(*(database.circuit.probe() for _ in range(3)))
    assert [line["event"] for line in logged] == [
        "PostgreSQL is away; trying again",
        "PostgreSQL is back",
    ]
    assert {line["server"] for line in logged} == {"db.example:5432"}


async def test_while_it_is_open_one_at_a_time_asks_and_no_work_is_done():
    database = Database(away=20, failures=10)
    done = await asyncio.gather(*(database.circuit.run(database.work) for _ in range(10)))
    assert done == ["done"] * 10
    assert database.most == 1
    assert database.done == 20


async def test_one_that_holds_nothing_opens_it_too():
    database, before = Database(away=2), opened()
    await database.circuit.probe()
    assert opened() == before + 1
    assert database.circuit.state is State.CLOSED


async def test_an_error_that_is_no_outage_goes_up_at_once():
    database = Database(failures=1)
    database.error = KeyError
    with pytest.raises(KeyError):
        await database.circuit.run(database.work)
    assert (database.done, database.pings) == (1, 0)


async def test_whoever_gives_up_leaves_it_open_for_the_next_one():
    database = Database(away=10**9, failures=1)
    running = asyncio.create_task(database.circuit.run(database.work))
    await database.half_open.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert database.circuit.state is State.OPEN
    database.away = 0
    assert await database.circuit.run(database.work) == "done"
    assert database.circuit.state is State.CLOSED
