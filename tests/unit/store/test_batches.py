from __future__ import annotations

import asyncio

import asyncpg
import pytest

from service.store.batches import isolating


class Database:
    """Takes all items or none, as a transaction does."""

    def __init__(self, bad: set[int] = frozenset(), error: type[Exception] = ValueError) -> None:
        self.bad = bad
        self.error = error
        self.calls: list[list[int]] = []
        self.written: list[int] = []

    async def write(self, items):
        self.calls.append(list(items))
        for item in items:
            if item in self.bad:
                raise self.error(f"item {item}")
        self.written += items
        return [f"ok {item}" for item in items]


async def test_a_good_batch_is_one_call():
    database = Database()
    assert await isolating(database.write, [1, 2, 3]) == ["ok 1", "ok 2", "ok 3"]
    assert len(database.calls) == 1


async def test_nothing_to_write_is_no_call():
    database = Database()
    assert await isolating(database.write, []) == []
    assert not database.calls


@pytest.mark.parametrize("bad", [0, 1, 499, 500, 777, 998, 999])
@pytest.mark.parametrize("error", [asyncpg.DataError, asyncpg.CheckViolationError, ValueError])
async def test_one_bad_row_among_a_thousand_costs_itself_and_few_calls(bad, error):
    database = Database({bad}, error)
    results = await isolating(database.write, range(1000))
    assert isinstance(results[bad], error)
    assert str(results.pop(bad)) == f"item {bad}"
    good = [item for item in range(1000) if item != bad]
    assert results == [f"ok {item}" for item in good]
    assert database.written == good
    assert len(database.calls) <= 21


async def test_bad_rows_next_to_each_other_are_told_apart():
    database = Database({3, 4, 9})
    results = await isolating(database.write, range(10))
    assert [i for i, result in enumerate(results) if isinstance(result, ValueError)] == [3, 4, 9]
    assert database.written == [0, 1, 2, 5, 6, 7, 8]


async def test_when_all_are_bad_each_gets_its_own_error():
    database = Database(set(range(8)))
    results = await isolating(database.write, range(8))
    assert [str(result) for result in results] == [f"item {i}" for i in range(8)]
    assert len(database.calls) == 15


@pytest.mark.parametrize(
    "outage",
    [
        OSError,
        TimeoutError,
        asyncpg.DeadlockDetectedError,
        asyncpg.TooManyConnectionsError,
        asyncpg.AdminShutdownError,
        asyncpg.UndefinedTableError,
    ],
)
async def test_an_outage_is_raised_at_once_and_not_isolated(outage):
    database = Database({1}, outage)
    with pytest.raises(outage):
        await isolating(database.write, range(1000))
    assert len(database.calls) == 1


async def test_an_outage_in_the_middle_of_isolating_is_raised_too():
    database = Database({999})

    async def write(items):
        if len(database.calls) == 2:
            raise ConnectionResetError
        return await database.write(items)

    with pytest.raises(ConnectionResetError):
        await isolating(write, range(1000))


async def test_a_single_item_in_an_outage_is_not_at_fault():
    with pytest.raises(OSError, match="item 1"):
        await isolating(Database({1}, OSError).write, [1])


async def test_a_cancelled_write_is_cancelled():
    async def write(_items):
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await isolating(write, [1, 2])
