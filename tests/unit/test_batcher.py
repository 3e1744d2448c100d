from __future__ import annotations

import asyncio

import pytest

from service.batcher import Batch, Batcher


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def clock(monkeypatch):
    """Return the loop's clock, which stands still unless it is moved."""
    clock = Clock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    yield clock
    monkeypatch.undo()


async def turns() -> None:
    """Let the loop do all that is due."""
    for _ in range(10):
        await asyncio.sleep(0)


def filled(items: str, size: int = 3, max_age: float = 5.0) -> Batcher[str]:
    batcher: Batcher[str] = Batcher(size, max_age)
    for item in items:
        batcher.add(item)
    return batcher


async def test_a_full_batch_is_not_waited_for(clock):
    assert await filled("abc").next() == Batch(["a", "b", "c"], "size")


async def test_the_item_that_fills_a_batch_ends_the_wait(clock):
    batcher = filled("a")
    waiting = asyncio.create_task(batcher.next())
    await turns()
    batcher.add("b")
    await turns()
    assert not waiting.done()
    batcher.add("c")
    await turns()
    assert waiting.result() == Batch(["a", "b", "c"], "size")


async def test_an_item_waits_for_others_until_it_is_of_age(clock):
    batcher = filled("a")
    waiting = asyncio.create_task(batcher.next())
    clock.now += 4.9
    await turns()
    assert not waiting.done()
    clock.now += 0.2
    await turns()
    assert waiting.result() == Batch(["a"], "age")


async def test_the_age_that_counts_is_that_of_the_oldest_item(clock):
    batcher = filled("a")
    waiting = asyncio.create_task(batcher.next())
    await turns()
    clock.now += 4.0
    batcher.add("b")
    await turns()
    clock.now += 1.1
    await turns()
    assert waiting.result() == Batch(["a", "b"], "age")


async def test_an_empty_batcher_waits_for_its_first_item(clock):
    batcher = filled("")
    waiting = asyncio.create_task(batcher.next())
    clock.now += 100.0
    await turns()
    assert not waiting.done()
    batcher.add("a")
    clock.now += 4.9
    await turns()
    assert not waiting.done()
    clock.now += 0.2
    await turns()
    assert waiting.result() == Batch(["a"], "age")


async def test_what_is_added_while_a_batch_is_written_comes_next_in_order(clock):
    batcher = filled("abc")
    await batcher.next()
    for item in "defghij":
        batcher.add(item)
    assert len(batcher) == 7
    assert await batcher.next() == Batch(["d", "e", "f"], "size")
    assert await batcher.next() == Batch(["g", "h", "i"], "size")
    assert len(batcher) == 1


async def test_the_remainder_does_not_wait_longer_than_its_age(clock):
    batcher = filled("abcd")
    clock.now += 4.0
    await batcher.next()
    clock.now += 1.1
    await turns()
    waiting = asyncio.create_task(batcher.next())
    await turns()
    assert waiting.done()
    assert waiting.result() == Batch(["d"], "age")


async def test_age_starts_anew_after_a_batch_took_everything(clock):
    batcher = filled("abc")
    await batcher.next()
    clock.now += 100.0
    batcher.add("d")
    waiting = asyncio.create_task(batcher.next())
    await turns()
    assert not waiting.done()
    clock.now += 5.1
    await turns()
    assert waiting.result() == Batch(["d"], "age")


async def test_a_drain_hands_out_the_rest_in_batches_and_ends(clock):
    batcher = filled("abcd")
    batcher.drain()
    assert await batcher.next() == Batch(["a", "b", "c"], "size")
    assert await batcher.next() == Batch(["d"], "drain")
    assert await batcher.next() is None
    assert await batcher.next() is None


@pytest.mark.parametrize(("items", "expected"), [("a", Batch(["a"], "drain")), ("", None)])
async def test_a_drain_ends_the_wait(clock, items, expected):
    batcher = filled(items)
    waiting = asyncio.create_task(batcher.next())
    await turns()
    batcher.drain()
    await turns()
    assert waiting.result() == expected


async def test_a_failure_wakes_who_waits(clock):
    batcher = filled("a")
    waiting = asyncio.create_task(batcher.next())
    await turns()
    batcher.fail(ConnectionError("channel closed"))
    await turns()
    with pytest.raises(ConnectionError, match="channel closed"):
        waiting.result()


async def test_after_a_failure_nothing_of_the_lost_channel_is_handed_out(clock):
    batcher = filled("abc")
    batcher.fail(ConnectionError("channel closed"))
    assert len(batcher) == 0
    for item in "def":
        batcher.add(item)
    batcher.drain()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await batcher.next()


async def test_a_cancelled_wait_loses_nothing(clock):
    batcher = filled("a")
    waiting = asyncio.create_task(batcher.next())
    await turns()
    waiting.cancel()
    await turns()
    batcher.drain()
    assert await batcher.next() == Batch(["a"], "drain")


async def test_an_item_really_waits_no_longer_than_its_age():
    loop = asyncio.get_running_loop()
    started = loop.time()
    batcher = filled("a", max_age=0.02)
    assert (await batcher.next()).reason == "age"
    assert loop.time() - started >= 0.02
