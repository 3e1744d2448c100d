"""What is the matter, in words that can be read from across the room: pure policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from service.quantities import quantity
from service.status.document import Headline, Health, WorkerState
from service.store.circuit import State

if TYPE_CHECKING:
    from service.pulse import Pulse
    from service.status.document import Worker

# A worker needs so long to load and to connect where nothing is amiss.
STARTING_SECONDS: Final = 10.0


def worker_state(pulse: Pulse, age: float) -> WorkerState:
    """Say what a worker is at.

    Args:
        pulse: its sign of life.
        age: of the process, in seconds.
    """
    if pulse.ready:
        return WorkerState.READY
    if not pulse.fresh:  # one that has not loaded yet has never said anything
        return WorkerState.SILENT if pulse.last else WorkerState.STARTING
    if pulse.circuit is not State.CLOSED:
        return WorkerState.DATABASE_AWAY
    if age < STARTING_SECONDS and not pulse.has_consumed:
        return WorkerState.STARTING
    return WorkerState.BROKER_AWAY if pulse.writable else WorkerState.DATABASE_AWAY


def headline(
    workers: Sequence[Worker],
    *,
    draining: bool,
    rate: float,
    in_hand: int,
    stuck: int,
    waiting: int,
) -> Headline:
    """Say how the service is.

    Args:
        workers: all of them.
        draining: whether it has been told to stop.
        rate: messages settled a second, of late.
        in_hand: messages that workers hold.
        stuck: so many of them at least they have held for as long as ``rate`` looks back.
        waiting: messages that wait in RabbitMQ.
    """
    if draining:
        detail = f"finishing {quantity(in_hand, 'event')} in hand; no more are taken"
        return Headline("Draining", detail, Health.WARNING)
    states = Counter(worker.state for worker in workers)
    if states[WorkerState.READY]:
        return _at_work(states, rate, stuck, waiting)
    if states[WorkerState.DATABASE_AWAY]:
        detail = f"holding {quantity(in_hand, 'event')}; goes on by itself when PostgreSQL answers"
        return Headline("Database away", detail, Health.BAD)
    if states[WorkerState.BROKER_AWAY]:
        detail = "events wait in RabbitMQ; goes on by itself when it can be reached"
        return Headline("Broker away", detail, Health.BAD)
    if states[WorkerState.STARTING] and not states[WorkerState.SILENT]:
        return Headline("Starting", "no worker consumes yet", Health.QUIET)
    return Headline("No worker", "none is alive and well; the log says why", Health.BAD)


def _at_work(states: Counter[WorkerState], rate: float, stuck: int, waiting: int) -> Headline:
    """Say what the workers that are ready do, and which are not."""
    ready, wanted = states[WorkerState.READY], states.total()
    if rate > 0:
        title, doing, level = "Settling", f"{figure(rate)} events/s", Health.GOOD
    elif stuck:
        doing = f"{quantity(stuck, 'event')} in hand, none settled"
        title, level = "Stalled", Health.WARNING
    else:
        title, doing, level = "Idle", "no events just now", Health.QUIET
    if waiting > 0:
        doing += f", {waiting:,} waiting in RabbitMQ"
    doing += f"; {ready} of {quantity(wanted, 'worker')} ready"
    if ready == wanted:
        return Headline(title, doing, level)
    others = ", ".join(
        f"{count} {state.value}" for state, count in states.items() if state != WorkerState.READY
    )
    return Headline(title, f"{doing}, {others}", Health.WARNING)


def figure(rate: float) -> str:
    """Return a rate with as many digits as mean something."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
