from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from service import sweeper
from service.broker.catching_up import PATIENCE_SECONDS, CatchingUp
from service.pulse import STALE_SECONDS
from service.settings import Settings
from service.store import circuit
from service.store.circuit import Circuit
from service.sweeper import Sweeper


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Pool:
    """Of a database where another sweeper is at work."""

    @asynccontextmanager
    async def acquire(self):
        yield self

    @asynccontextmanager
    async def transaction(self):
        yield

    async def fetchval(self, _statement):
        return False


class Sweeping:
    """A sweeper whose database answers, and who has caught up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.circuit = Circuit(self._ping, "here")
        self._catching_up = CatchingUp(clock.monotonic)
        self._sweeper = Sweeper(
            Pool(),
            None,
            [],
            None,
            circuit=self.circuit,
            catching_up=self._catching_up,
            dead_letters=lambda: None,
        )

    async def catch_up(self) -> None:
        await self.answer()
        await self._catching_up.look([])
        await self.answer(after=PATIENCE_SECONDS)
        await self._catching_up.look([])
        assert self.books

    async def answer(self, after: float = 0.0) -> None:
        self._clock.now += after
        await self._sweeper._alone(None)

    @property
    def books(self) -> bool:
        return self._catching_up.seconds_ago is not None

    async def _ping(self) -> None:
        self._clock.now += 0.01


@pytest.fixture
async def sweeping(logged, monkeypatch) -> Sweeping:
    clock = Clock()
    monkeypatch.setattr(sweeper, "time", clock)
    monkeypatch.setattr(circuit, "time", clock)
    sweeping = Sweeping(clock)
    await sweeping.catch_up()
    return sweeping


async def test_as_long_as_the_database_answers_refunds_are_booked(sweeping):
    for _ in range(10):
        await sweeping.answer(after=STALE_SECONDS - 0.1)
        assert sweeping.books


async def test_a_database_that_was_silent_may_have_kept_others_from_writing(sweeping):
    await sweeping.answer(after=STALE_SECONDS + 0.1)
    assert not sweeping.books
    await sweeping.catch_up()


async def test_so_may_one_that_was_away_for_a_moment(sweeping):
    sweeping.circuit.doubt()
    await sweeping.circuit.probe()
    await sweeping.answer()
    assert not sweeping.books
    await sweeping.catch_up()


@pytest.mark.parametrize(
    ("expired", "buried", "goes_on"),
    [(sweeper.LIMIT, 7, True), (sweeper.LIMIT, 0, False), (sweeper.LIMIT - 1, 7, False)],
    ids=["more", "broker away", "no more"],
)
async def test_it_goes_on_at_once_while_more_has_expired_than_it_takes(
    sweeping, monkeypatch, expired: int, buried: int, goes_on: bool
):
    async def claim(*_) -> list[None]:
        return [None] * expired

    async def apply(*_) -> tuple[Counter[str], list[None]]:
        return Counter(), []

    async def bury(*_) -> int:
        return buried

    own = sweeping._sweeper
    settings = Settings(database={"url": "postgresql://billing@db/billing"})
    monkeypatch.setattr(own, "_settings", settings)
    monkeypatch.setattr(sweeper.parking, "claim_expired", claim)
    monkeypatch.setattr(own, "_apply", apply)
    monkeypatch.setattr(own, "_bury", bury)
    await own._expire(None, SimpleNamespace(name="bill"))
    assert own._is_burying is goes_on
