"""What a worker may do instead of its work: block its event loop for good."""

from __future__ import annotations

import threading
import time
from typing import NoReturn

from service.pulse import Pulse


async def asleep(_settings: object, _number: int, life: Pulse, *_: object, **__: object) -> None:
    """Wait in a call that never returns."""
    _begin(life)
    time.sleep(600)  # noqa: ASYNC251


async def busy(_settings: object, _number: int, life: Pulse, *_: object, **__: object) -> NoReturn:
    """Compute without end."""
    _begin(life)
    while True:
        pass


def _begin(life: Pulse) -> None:
    threading.Thread(target=_beside, daemon=True).start()
    life.beat(consuming=True, writable=True)


def _beside() -> None:
    time.sleep(600)
