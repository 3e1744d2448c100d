"""Fill the queue while nobody consumes it, then let a contestant drain it."""

from bench.lab.contestant import Contestant
from bench.lab.place import Place
from bench.lab.result import Measurement
from bench.lab.screen import Screen
from bench.lab.workload import Workload


async def drain(
    place: Place, workload: Workload, contestant: Contestant, screen: Screen
) -> Measurement:
    """Measure one drain, from a fresh place to an empty queue, and check what came of it.

    Raises:
        ContestantFailed: it ended, or commits nothing any more.
    """
    raise NotImplementedError
