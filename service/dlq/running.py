"""Runs what a command does to the dead queues: connected, with progress, and to a plain end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from service.broker.topology import STREAMS
from service.commandline import fail
from service.exits import CannotStart, Exit
from service.quantities import quantity

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection

    from service.dlq.actions import Tally, Tell
    from service.settings import Settings


@contextmanager
def telling(tally: Tally, what: str) -> Iterator[None]:
    """Say at the end how many it were, also when that came early."""
    try:
        yield
    finally:
        typer.echo(f"{quantity(tally.done, 'dead letter')} {what}")


def run(
    settings: Settings, name: str, act: Callable[[AbstractConnection, Tell], Awaitable[None]]
) -> None:
    """Connect, act and show progress; end with the reason where that is impossible."""
    from service.broker.errors import OUTAGES, Unreachable  # noqa: PLC0415
    from service.dlq.actions import Halted  # noqa: PLC0415
    from service.reasons import reason  # noqa: PLC0415

    try:
        asyncio.run(_session(settings, name, act))
    except CannotStart as error:
        fail(str(error), Exit.CANNOT_START)
    except Halted as error:
        fail(str(error), Exit.FAILED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        _lost("interrupted", Exit.FAILED)
    except Unreachable as error:
        _lost(f"RabbitMQ is away: {error}", Exit.CANNOT_START)
    except OUTAGES as error:
        where = ", ".join(map(str, settings.jasmin.addresses))
        _lost(f"RabbitMQ at {where} is away: {reason(error)}", Exit.CANNOT_START)


def _lost(why: str, code: Exit) -> NoReturn:
    fail(f"{why}; what was not removed is where it was", code)


async def _session(
    settings: Settings, name: str, act: Callable[[AbstractConnection, Tell], Awaitable[None]]
) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    from service.broker import leniency  # noqa: PLC0415
    from service.broker.connection import connect  # noqa: PLC0415
    from service.ops import log  # noqa: PLC0415

    log.configure(settings.log)
    leniency.install()
    if this := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        bars = {stream: progress.add_task(stream, visible=False) for stream in STREAMS}

        def tell(stream: str, size: int, more: int) -> None:
            progress.update(bars[stream], total=size, advance=more, visible=True)

        async with connect(settings.jasmin, f"billing-service dlq {name}") as connection:
            await act(connection, tell)
