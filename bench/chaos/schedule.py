"""When what strikes, from the seed: every kind once in random order, then again."""

import random
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bench.chaos.faults import Fault

TOGETHER: Final = 0.2
# Long enough for heartbeats and statements to run into their limits.
LONG: Final = 0.15
LONG_SECONDS: Final = 20.0


class Tempo(NamedTuple):
    """How hard it comes: seconds between faults and seconds that one lasts, least and most."""

    gap: tuple[float, float]
    lasting: tuple[float, float]
    long: bool


STEADY: Final = Tempo(gap=(1.0, 4.0), lasting=(1.0, 8.0), long=True)
SHORT: Final = Tempo(gap=(0.3, 1.5), lasting=(0.5, 3.0), long=False)


class Blow(NamedTuple):
    """One fault at its time.

    Attributes:
        fault: what happens.
        gap: seconds to wait before.
        seconds: how long it lasts.
        together: the one before need not be over.
    """

    fault: Fault
    gap: float
    seconds: float
    together: bool


def blows(seed: int, faults: Sequence[Fault], tempo: Tempo) -> Iterator[Blow]:
    """Yield blows without end."""
    dice = random.Random(f"schedule {seed}")  # noqa: S311
    while faults:
        order = dice.sample(faults, len(faults))
        # What heals slowly comes early, so that the run need not wait for it at its end.
        order.sort(key=lambda fault: not fault.heals_slowly and dice.random() < 0.5)
        for fault in order:
            seconds = dice.uniform(*tempo.lasting)
            if tempo.long and dice.random() < LONG:
                seconds = LONG_SECONDS
            yield Blow(fault, dice.uniform(*tempo.gap), seconds, dice.random() < TOGETHER)
