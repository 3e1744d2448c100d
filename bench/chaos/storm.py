"""Strikes blow after blow, and keeps the record of it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bench.chaos.faults import MISSED
from bench.chaos.rig import Rig
from bench.chaos.schedule import Blow

_SHOWN: Final = 120


@dataclass
class Struck:
    """A blow that was struck; times are POSIX seconds.

    Attributes:
        name: of the fault.
        detail: what it hit.
        at: when it began.
        mended_at: when it was over; None while it lasts.
        committed_at: the first commit of the service after that.
    """

    name: str
    at: float
    detail: str = ""
    mended_at: float | None = None
    committed_at: float | None = None

    @property
    def recovery(self) -> float | None:
        """Seconds from its end to the next commit."""
        if self.committed_at is None or self.mended_at is None:
            return None
        return max(0.0, self.committed_at - self.mended_at)


class Storm:
    """Strikes until told to stop.

    Attributes:
        struck: the record.
        missed: blows that did not find what they were to hit, by what was said.
        complete: set once every kind of fault has struck.

    Args:
        rig: what to strike.
        kinds: names of the kinds of faults.
        blows: without end, unless there are no kinds.
        struck: where to keep the record.
        tell: is given a line for each.
    """

    def __init__(
        self,
        rig: Rig,
        kinds: frozenset[str],
        blows: Iterator[Blow],
        struck: list[Struck],
        tell: Callable[[str], None],
    ) -> None:
        self.struck = struck
        self._kinds = kinds
        self.missed: list[str] = []
        self.complete = asyncio.Event()
        self._rig = rig
        self._blows = blows
        self._tell = tell
        self._stop = asyncio.Event()
        self._locks = {target: asyncio.Lock() for target in ("service", "broker", "database")}

    def stop(self) -> None:
        """Strike no more; :meth:`run` returns when all is mended."""
        self._stop.set()

    async def run(self) -> None:
        """Strike one blow after another, now and then two together."""
        async with asyncio.TaskGroup() as tasks:
            last: asyncio.Task[None] | None = None
            for blow in self._blows:
                if last is not None and not blow.together:
                    await asyncio.wait({last})
                if await self._stopped_within(blow.gap):
                    break
                last = tasks.create_task(self._strike(blow), name=blow.fault.name)
        self.complete.set()

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _strike(self, blow: Blow) -> None:
        fault = blow.fault
        async with self._locks[fault.target]:
            record = Struck(fault.name, time.time())
            lasting = f" for {blow.seconds:.1f} s" if fault.lasts else ""
            self._tell(f"{fault.name}{lasting}")
            try:
                record.detail = await fault.strike(self._rig, blow.seconds)
            except MISSED as error:
                self.missed.append(f"{fault.name}: {error}")
                self._tell(f"{fault.name}: missed: {str(error)[:_SHOWN]}")
                return
            record.mended_at = time.time()
            self.struck.append(record)
            if self._kinds <= {blow.name for blow in self.struck}:
                self.complete.set()
