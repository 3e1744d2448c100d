"""What is used meanwhile: CPU of groups of processes over any stretch of time, and memory."""

import asyncio
import ctypes
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import numpy as np
import psutil

_LIBC: Final = ctypes.CDLL(None)
_SAMPLE_SECONDS: Final = 0.1
# Looking for processes costs more than looking at those that are known.
_SEARCH_SECONDS: Final = 0.5

Group = Callable[[], Iterable[psutil.Process]]


@asynccontextmanager
async def sampled(groups: Mapping[str, Group]) -> AsyncIterator["Usage"]:
    """Sample groups of processes meanwhile."""
    usage = Usage(groups)
    sampling = asyncio.create_task(usage.run(), name="usage")
    try:
        yield usage
    finally:
        sampling.cancel()
        with suppress(asyncio.CancelledError):
            await sampling
    usage.sample()


class CpuClock:
    """The CPU time of a changing set of processes; those that have ended are not forgotten."""

    def __init__(self) -> None:
        self._seconds: dict[object, float] = {}
        self._times: list[float] = []
        self._totals: list[float] = []

    def sample(self, at: float, seconds: Mapping[object, float]) -> None:
        """Note the CPU seconds that each process has used at a time."""
        self._seconds.update(seconds)
        self._times.append(at)
        self._totals.append(sum(self._seconds.values()))

    @property
    def has_run(self) -> bool:
        """Whether any process has been seen."""
        return bool(self._seconds)

    def between(self, start: float, end: float) -> float:
        """Return the CPU seconds used between two times, interpolated between samples."""
        first, last = np.interp([start, end], self._times, self._totals)
        return float(last - first)


class Usage:
    """Samples groups of processes while :meth:`run` runs.

    Args:
        groups: how to find the processes of each, by name.

    Attributes:
        peak_rss: the most bytes that a process of each group was seen to hold.
    """

    def __init__(self, groups: Mapping[str, Group]) -> None:
        self.peak_rss = dict.fromkeys(groups, 0)
        self._groups = groups
        self._known: dict[str, list[psutil.Process]] = {}
        self._clocks = {name: CpuClock() for name in groups}
        self._searched_at = float("-inf")

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(_SAMPLE_SECONDS)

    def sample(self) -> None:
        """Look at all processes once."""
        if time.monotonic() - self._searched_at > _SEARCH_SECONDS:
            self._known = {name: list(find()) for name, find in self._groups.items()}
            self._searched_at = time.monotonic()
        for name, processes in self._known.items():
            seconds: dict[object, float] = {}
            for process in processes:
                with suppress(psutil.NoSuchProcess, ProcessLookupError):
                    seconds[process] = cpu_seconds(process.pid)
                    self.peak_rss[name] = max(self.peak_rss[name], process.memory_info().rss)
            self._clocks[name].sample(time.time(), seconds)

    def cpu_seconds(self, start: float, end: float) -> dict[str, float]:
        """Return the CPU seconds of each group between two POSIX times; of those it has seen."""
        return {
            name: clock.between(start, end) for name, clock in self._clocks.items() if clock.has_run
        }


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process, to the nanosecond (/proc has ticks).

    Raises:
        ProcessLookupError: it is gone.
    """
    clock = ctypes.c_int()
    if error := _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)
