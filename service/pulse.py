"""A worker's sign of life, in memory shared with its supervisor.

Written by the worker's event loop itself: a loop that hangs stops writing, whatever other
threads of the process may do.
"""

from __future__ import annotations

import ctypes
import time
from typing import Final

import aiomultiprocess

from service.store.circuit import State

INTERVAL_SECONDS: Final = 1.0
STALE_SECONDS: Final = 5.0

_BEAT, _CONSUMING, _WRITABLE, _HAS_CONSUMED, _CIRCUIT = range(5)


class Pulse:
    """Some figures; it can be handed to a process that is being started."""

    def __init__(self) -> None:
        self._figures = aiomultiprocess.core.get_context().RawArray(ctypes.c_double, 5)

    def beat(self, *, consuming: bool, writable: bool, circuit: State = State.CLOSED) -> None:
        """Say that the loop runs, whether it consumes and can write, and how its circuit is."""
        self._figures[_CONSUMING] = consuming
        self._figures[_HAS_CONSUMED] = self.has_consumed or consuming
        self._figures[_WRITABLE] = writable
        self._figures[_CIRCUIT] = circuit
        self._figures[_BEAT] = time.monotonic()  # one clock for all processes of a host

    @property
    def ready(self) -> bool:
        """Whether the worker was well within the last few seconds."""
        return self.fresh and self.consuming and self.writable

    @property
    def consuming(self) -> bool:
        """Whether the worker consumed when it last said so."""
        return bool(self._figures[_CONSUMING])

    @property
    def writable(self) -> bool:
        """Whether PostgreSQL answered the worker when it last said so."""
        return bool(self._figures[_WRITABLE])

    @property
    def circuit(self) -> State:
        """How the worker's circuit to PostgreSQL was."""
        return State(int(self._figures[_CIRCUIT]))

    @property
    def has_consumed(self) -> bool:
        """Whether the worker has ever consumed."""
        return bool(self._figures[_HAS_CONSUMED])

    @property
    def last(self) -> float:
        """Monotonic time of the last beat in seconds; 0 before the first one."""
        return float(self._figures[_BEAT])

    @property
    def fresh(self) -> bool:
        """Whether its event loop ran within the last few seconds."""
        return time.monotonic() - self.last < STALE_SECONDS
