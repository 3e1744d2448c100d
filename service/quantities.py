"""Numbers of things as people read them."""

from __future__ import annotations


def quantity(number: int, one: str, several: str = "") -> str:
    """Return how many there are of something: ``1 worker``, ``2,000 workers``, ``0 workers``.

    Args:
        number: how many.
        one: what a single one is called, with whatever else depends on that: ``event waits``.
        several: the same of several; without it ``one`` gets an s.
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
