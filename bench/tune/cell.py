"""The settings that are tried, and those that are refused before anything runs. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, Self

from bench.lab.contestant import SERVICE, settings_of
from bench.lab.workload import Workload
from service.quantities import quantity
from service.settings import MAX_WORKERS, Stream


class Cell(NamedTuple):
    """One combination of settings.

    Attributes:
        batch_size: events in a transaction at most.
        prefetch: unacknowledged messages for each worker.
        workers: processes.
        flush_ms: milliseconds that an event waits for its batch at most.
    """

    batch_size: int
    prefetch: int
    workers: int
    flush_ms: int

    @property
    def name(self) -> str:
        """What it is called among contestants."""
        size, prefetch, workers, flush_ms = self
        return f"{SERVICE}-b{size}-p{prefetch}-w{workers}-f{flush_ms}"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Return the one that a measurement was made with."""
        return cls(*(settings[name] for name in cls._fields))

    def __str__(self) -> str:
        size, prefetch, workers, flush_ms = self
        return (
            f"batch {size}, prefetch {prefetch}, {quantity(workers, 'worker')}, flush {flush_ms} ms"
        )


@dataclass(frozen=True)
class Axes:
    """The values that are tried of each setting, in the order of a cell's."""

    batch_sizes: tuple[int, ...]
    prefetches: tuple[int, ...]
    workers: tuple[int, ...]
    flush_ms: tuple[int, ...]

    def cells(self) -> Iterator[Cell]:
        """Yield all combinations."""
        values = (self.batch_sizes, self.prefetches, self.workers, self.flush_ms)
        return (Cell(*each) for each in product(*values))


class Refusal(NamedTuple):
    """A cell that is not tried, and why."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class Grid:
    """What is tried, with the service's settings for it, and what is not."""

    admitted: Mapping[Cell, Stream]
    refused: tuple[Refusal, ...]


def admit(cells: Iterable[Cell], workload: Workload, goal_ms: float, **others: Any) -> Grid:
    """Tell the cells that the service would start with from those that it refuses.

    Args:
        cells: all that there are.
        workload: whose queue it is.
        goal_ms: what a latency may be; a longer flush interval cannot keep it.
        others: settings of the queue that all cells have.
    """
    admitted: dict[Cell, Stream] = {}
    refused = []
    for cell in cells:
        size, prefetch, workers, flush_ms = cell
        try:
            if not 1 <= workers <= MAX_WORKERS:
                raise ValueError(f"workers: {workers} is none of 1 to {MAX_WORKERS}")
            if flush_ms >= goal_ms:
                raise ValueError(f"flush_ms: {flush_ms} is all of a latency of {goal_ms:g} ms")
            admitted[cell] = settings_of(
                workload, batch_size=size, prefetch=prefetch, flush_ms=flush_ms, **others
            )
        except ValueError as error:
            refused.append(Refusal(cell, str(error).removeprefix("Value error, ")))
    return Grid(admitted, tuple(refused))
