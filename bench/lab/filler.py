"""Fills the queue as fast as it can, and makes sure that the broker has all of it."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final

from bench.lab.messages import publications
from bench.lab.wire import Wire
from bench.lab.workload import Workload

_CHUNK: Final = 500
_UNCONFIRMED: Final = 5000


async def fill(url: str, workload: Workload, progress: Callable[[int], None]) -> int:
    """Publish all events of a workload; return how many the broker has confirmed.

    Raises:
        OSError: the connection broke.
        Refused: the broker does not take them.
    """
    return await asyncio.to_thread(_fill, url, workload, progress)


def _fill(url: str, workload: Workload, progress: Callable[[int], None]) -> int:
    messages = publications(workload)
    with Wire(url, workload.source.queue) as wire:
        while chunk := list(islice(messages, _CHUNK)):
            wire.publish(chunk)
            wire.wait(unconfirmed=_UNCONFIRMED)
            progress(wire.published)
        wire.wait()
        return wire.confirmed
