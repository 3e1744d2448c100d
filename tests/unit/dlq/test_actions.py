from __future__ import annotations

import pytest

from service.broker.topology import DLR
from service.dlq import actions
from service.dlq.actions import Halted

FULL = 50_000


@pytest.fixture
def lengths(monkeypatch):
    """What our queue holds, one look after the other; the last for ever."""
    found: list[int | None] = []

    async def waiting(_connection, queue):
        assert queue == DLR.queue
        return found.pop(0) if len(found) > 1 else found[0]

    monkeypatch.setattr(actions, "waiting", waiting)
    monkeypatch.setattr(actions, "ROOM_INTERVAL_SECONDS", 0.001)
    monkeypatch.setattr(actions, "ROOM_SECONDS", 0.05)
    return found


async def room() -> list[str]:
    notes: list[str] = []
    await actions._room(None, DLR, 2 * FULL, notes.append)
    return notes


async def test_a_queue_with_room_is_not_waited_for(lengths):
    lengths += [FULL - 1]
    assert await room() == []


async def test_a_full_queue_is_waited_for_and_told_of_once(lengths):
    lengths += [FULL + 2, FULL + 1, FULL, FULL - 1]
    (note,) = await room()
    assert "waiting until it has room" in note


async def test_a_full_queue_that_nobody_reads_ends_it(lengths):
    lengths += [FULL + 1]
    with pytest.raises(Halted, match="start billing-service run"):
        await room()


async def test_a_queue_that_does_not_exist_ends_it(lengths):
    lengths += [None]
    with pytest.raises(Halted, match="there is no queue"):
        await room()
