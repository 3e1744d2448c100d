"""Waits until nothing moves any more, and says what still does when that takes too long."""

import asyncio
import time
from typing import Final

from bench.chaos.bed import SETTLE_SECONDS
from bench.chaos.gateway import Gateway
from bench.chaos.observer import QUEUES, Observer

LIMIT_SECONDS: Final = 240.0
_POLL_SECONDS: Final = 0.5
# Longer than the settle time of a refund; the last sweep comes a little later.
_STILL_SECONDS: Final = SETTLE_SECONDS + 4.0
# What is parked for more than a minute is looked at every eighth second only.
_PARKED_STILL_SECONDS: Final = 12.0


async def until_quiet(observer: Observer, gateway: Gateway) -> list[str]:
    """Return once all is quiet, with nothing; or at the limit, with what is still moving."""
    began = time.time()
    still_since = began
    seen: tuple[object, ...] = ()
    while True:
        figures = (observer.committed, observer.parked, gateway.waiting)
        if figures != seen:
            seen, still_since = figures, time.time()
        moving = _moving(observer, gateway, began)
        needed = _PARKED_STILL_SECONDS if observer.parked else _STILL_SECONDS
        if not moving and time.time() - still_since > needed:
            return []
        if time.time() - began > LIMIT_SECONDS:
            return moving or ["figures that go on changing"]
        await asyncio.sleep(_POLL_SECONDS)


def _moving(observer: Observer, gateway: Gateway, began: float) -> list[str]:
    moving = []
    if gateway.waiting:
        moving.append(f"{gateway.waiting} rows to be written by the gateway")
    if observer.ready is None or observer.unacknowledged is None or observer.looked_at < began:
        moving.append("the broker does not tell how long its queues are")
    else:
        moving += [
            f"{name}: {observer.ready[name]} messages wait, "
            f"{observer.unacknowledged[name]} are not acknowledged"
            for name in QUEUES
            if observer.ready[name] or observer.unacknowledged[name]
        ]
    if observer.parked is None:
        moving.append("the database does not tell what is parked")
    if observer.owed:
        moving.append(f"{observer.owed} refunds are to be booked")
    return moving
