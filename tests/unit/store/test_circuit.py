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


class Work:
    """Fails some times, then not any more; knows how many were at it at once."""

    def __init__(self, failures: int, error: type[Exception] = asyncpg.AdminShutdownError) -> None:
        self.failures = failures
        self.error = error
        self.attempts = self.running = self.most = 0
        self.states: list[State] = []

    def on(self, circuit: Circuit):
        async def work():
            self.attempts += 1
            self.running += 1
            self.most = max(self.most, self.running)
            self.states.append(circuit.state)
            await asyncio.sleep(0)
            self.running -= 1
            if self.failures:
                self.failures -= 1
                raise self.error("away")
            return "done"

        return work


def opened() -> float:
    return metrics.CIRCUIT_OPENED._value.get()


async def test_what_is_well_is_done_once():
    circuit, work = Circuit(), Work(0)
    assert await circuit.run(work.on(circuit)) == "done"
    assert (work.attempts, circuit.state) == (1, State.CLOSED)


async def test_a_single_failure_is_tried_again_without_opening():
    circuit, work, before = Circuit(), Work(1, asyncpg.DeadlockDetectedError), opened()
    assert await circuit.run(work.on(circuit)) == "done"
    assert work.states == [State.CLOSED, State.CLOSED]
    assert opened() == before


async def test_it_opens_at_the_second_failure_and_closes_when_work_is_done():
    circuit, work, before = Circuit(), Work(4), opened()
    assert await circuit.run(work.on(circuit)) == "done"
    assert work.states == [State.CLOSED, State.CLOSED, *[State.HALF_OPEN] * 3]
    assert circuit.state is State.CLOSED
    assert opened() == before + 1


async def test_while_it_is_open_one_at_a_time_is_let_through():
    circuit, work = Circuit(), Work(30)
    async with asyncio.timeout(5):
        done = await asyncio.gather(*(circuit.run(work.on(circuit)) for _ in range(10)))
    assert done == ["done"] * 10
    assert work.states[:10] == [State.CLOSED] * 10  # before the first of them failed
    assert max(work.states.index(State.HALF_OPEN), 10) <= 12
    work.most = 0
    work.failures = 5
    circuit._set(State.OPEN)
    await asyncio.gather(*(circuit.run(work.on(circuit)) for _ in range(10)))
    assert work.most == 1


async def test_an_error_that_is_no_outage_goes_up_at_once():
    circuit, work = Circuit(), Work(1, KeyError)
    with pytest.raises(KeyError):
        await circuit.run(work.on(circuit))
    assert work.attempts == 1


async def test_whoever_gives_up_leaves_it_open_for_the_next_one():
    circuit, work = Circuit(), Work(10**9)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await circuit.run(work.on(circuit))
    assert circuit.state is State.OPEN
    work.failures = 0
    assert await circuit.run(work.on(circuit)) == "done"
    assert circuit.state is State.CLOSED


async def test_it_waits_as_it_is_told_to():
    circuit, work = Circuit(), Work(10**9)
    stop = asyncio.Event()
    running = asyncio.create_task(circuit.run(work.on(circuit), retry.unless_stopped(stop)))
    await asyncio.sleep(0.05)
    stop.set()
    with pytest.raises(retry.Stopped):
        await running
