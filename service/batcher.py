"""Collects what arrives into batches: by size, by age, or because it is time to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

T = TypeVar("T")

Reason = Literal["size", "age", "drain"]


class Batch(NamedTuple, Generic[T]):
    """What is written in one transaction, and why it was not waited for any longer."""

    items: list[T]
    reason: Reason


class Batcher(Generic[T]):
    """A buffer that one consumer takes batches from, in order of arrival.

    While a batch is being written the next one collects here; how much that can be is bounded
    by the prefetch of whoever fills it.

    Args:
        size: items in a batch at most.
        max_age: seconds that an item waits for others at most.
    """

    def __init__(self, size: int, max_age: float) -> None:
        self._size = size
        self._max_age = max_age
        self._items: list[T] = []
        self._first_at = 0.0
        self._draining = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._time = asyncio.get_running_loop().time

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: Sequence[T]) -> None:
        """Take in items that came together."""
        before = len(self._items)
        self._items += items
        if not before:
            self._first_at = self._time()
        if not before or len(self._items) >= self._size:  # else next() waits for the same
            self._changed.set()

    def drain(self) -> None:
        """Hand out what is left without waiting, then end."""
        self._draining = True
        self._changed.set()

    def fail(self, error: BaseException) -> None:
        """Forget what is left and raise ``error`` in whoever waits for it."""
        self._error = error
        self._items.clear()
        self._changed.set()

    async def next(self) -> Batch[T] | None:
        """Return the next batch, or None when all has been drained.

        Raises:
            BaseException: what :meth:`fail` was given.
        """
        while True:
            if self._error is not None:
                raise self._error
            if len(self._items) >= self._size:
                return self._take("size")
            if self._draining:
                return self._take("drain") if self._items else None
            due = self._first_at + self._max_age if self._items else None
            if due is not None and self._time() >= due:
                return self._take("age")
            await self._wait_until(due)

    async def _wait_until(self, due: float | None) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout_at(due):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _take(self, reason: Reason) -> Batch[T]:
        batch = Batch(self._items[: self._size], reason)
        # The rest keeps the time of the oldest, and so may wait less than max_age, never more.
        del self._items[: self._size]
        return batch
