from __future__ import annotations

from types import SimpleNamespace

import pytest
from xdist.scheduler import WorkStealingScheduling

from tests.support.order import spread

LONG = [f"long-{n}" for n in range(7)]
OTHERS = [f"other-{n}" for n in range(100)]


class Config:
    def __init__(self, processes: int) -> None:
        self.processes = processes

    def getvalue(self, name: str) -> list[str]:
        return {"tx": ["popen"] * self.processes}[name]


class Node:
    """A process of pytest-xdist, as far as the scheduler talks to it."""

    shutting_down = False

    def __init__(self) -> None:
        self.gateway = SimpleNamespace(id="gw")
        self.given: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_every_process_begins_with_long_tests(processes: int) -> None:
    """As pytest-xdist itself hands them out."""
    order = spread(LONG, OTHERS, processes)
    assert sorted(order) == sorted(LONG + OTHERS)
    scheduler = WorkStealingScheduling(Config(processes))
    nodes = [Node() for _ in range(processes)]
    for node in nodes:
        scheduler.add_node(node)
        scheduler.add_node_collection(node, order)
    scheduler.schedule()
    for number, node in enumerate(nodes):
        share = LONG[number::processes]
        assert [order[index] for index in node.given[: len(share)]] == share


def test_nothing_is_lost_where_there_is_little() -> None:
    assert spread(["a", "b", "c"], ["d"], 2) == ["a", "c", "b", "d"]
    assert spread([], ["d", "e"], 4) == ["d", "e"]
    assert spread([], [], 2) == []
