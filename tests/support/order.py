"""What several processes should begin with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def spread(first: Sequence[T], others: Sequence[T], processes: int) -> list[T]:
    """Return all in an order in which each process starts with some of the first.

    pytest-xdist's ``worksteal`` cuts the order into one stretch for each process, all about as
    long; who has done his own takes from the end of another's. So what is to come first has to be
    where a stretch begins.
    """
    order: list[T] = []
    waiting = iter(others)
    total = len(first) + len(others)
    for process in range(processes):
        stretch = (total - len(order)) // (processes - process)
        own = first[process::processes]
        order += [*own, *islice(waiting, max(0, stretch - len(own)))]
    return order + list(waiting)
