"""Waits until nothing moves any more, and says what still does when that takes too long."""

import asyncio
import time
from typing import Final

from bench.gateway.bed import Bed
from bench.gateway.cdrs import CONNECTOR

_LIMIT_SECONDS: Final = 900.0
# Something is published or settled all the time while there is anything on its way.
_STUCK_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.5
# RabbitMQ's figures are up to two seconds old.
_STILL_SECONDS: Final = 3.0
# Events that nothing matches are looked at again when their time of grace is over.
_PARKED_STILL_SECONDS: Final = 15.0
_WAITING: Final = """
    SELECT (SELECT count(*) FROM billing_parked) AS parked,
           (SELECT count(*) FROM billing_refund WHERE booked_at IS NULL) AS owed
"""


async def until_quiet(bed: Bed) -> list[str]:
    """Return once all is quiet, with nothing; or once nothing happens, with what is left to do.

    Raises:
        StackError, ProgramFailed: Jasmin or the service has ended.
    """
    began = still_since = time.monotonic()
    seen: tuple[object, ...] = ()
    while True:
        bed.check()
        parked, moving = await _look(bed)
        figures = (len(bed.tap.publications), parked, *moving)
        now = time.monotonic()
        if figures != seen:
            seen, still_since = figures, now
        needed = _PARKED_STILL_SECONDS if parked else _STILL_SECONDS
        if now - still_since > (_STUCK_SECONDS if moving else needed):
            return moving
        if now - began > _LIMIT_SECONDS:
            return [*moving, "figures that go on changing"]
        await asyncio.sleep(_POLL_SECONDS)


async def _look(bed: Bed) -> tuple[int, list[str]]:
    """Return how many events are parked, and what is on its way."""
    queues = await asyncio.to_thread(bed.stack.rabbitmq.queues)
    watched = {f"submit.sm.{CONNECTOR}", *bed.books.queues}
    moving = [
        f"{queue['name']}: {queue['messages']} messages"
        for queue in queues
        if queue["name"] in watched and queue.get("messages", 0)
    ]
    if bed.smsc.is_busy:
        moving.append("the operator has messages to answer, or receipts to send")
    [row] = await bed.pool.fetch(_WAITING)
    if row["owed"]:
        moving.append(f"{row['owed']} refunds are to be booked")
    return int(row["parked"]), moving
