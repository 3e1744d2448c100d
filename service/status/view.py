"""The status as a terminal of 80 columns or more shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.durations import short, span
from service.status.document import Health, WorkerState
from service.status.headline import figure

if TYPE_CHECKING:
    from service.status.document import History, Spread, Status, Stream

SPARKS: Final = "▁▂▃▄▅▆▇█"
BAR: Final = 7
DASH: Final = "-"
STATUSES: Final = {
    "delivered": "green",
    "submitted": "cyan",
    "pending": "blue",
    "failed": "red",
    "expired": "yellow",
    "rejected": "magenta",
}
_SIGNS: Final = {
    Health.GOOD: ("✔", "bold green"),
    Health.QUIET: ("●", "bold blue"),
    Health.WARNING: ("▲", "bold yellow"),
    Health.BAD: ("✖", "bold red"),
}
_WORKERS: Final = {
    WorkerState.READY: "green",
    WorkerState.STARTING: "blue",
    WorkerState.DRAINING: "blue",
}
_ROWS: Final = (
    "events/s",
    "last 10 min",
    "settled",
    "waiting",
    "in hand",
    "age at commit",
    "commit",
    "batch",
    "flushed by",
    "parked",
    "dead letters",
)


def render(status: Status) -> RenderableType:
    """Render all of it."""
    columns = Table.grid(expand=True, padding=(0, 2, 0, 0))
    columns.add_column(ratio=5)
    columns.add_column(ratio=3)
    columns.add_row(_streams(status), Group(_cdrs(status), Text(), _money(status)))
    return Group(headline(status), Text(), columns, Text(), _workers(status))


def lost(status: Status, reason: str) -> RenderableType:
    """Render what was known when the service ceased to answer."""
    told = Text.assemble(("? ", "bold"), ("No answer", "bold"), f"  {reason}; trying again")
    return Group(told, Text("what follows is how it was before", "dim"), Text(), render(status))


def headline(status: Status) -> Text:
    """Render the line that matters."""
    state = status.headline
    sign, style = _SIGNS[state.level]
    facts = f"billing-service {status.version} on {status.host}, up {span(status.uptime_s)}"
    return Text.assemble(
        (f"{sign} {state.title}", style),
        (f" for {span(state.since_s)}", "dim"),
        f"  {state.detail}\n",
        (facts, "dim"),
    )


def sparkline(history: History, stream: str, width: int) -> str:
    """Draw the rates of a stream, the newest at the right; blank where nothing is known."""
    columns: list[list[float]] = [[] for _ in range(width)]
    for age, rate in zip(history.ages_s, history.rates[stream], strict=True):
        columns[width - 1 - min(width - 1, int(width * age / history.seconds))].append(rate)
    means = [sum(column) / len(column) if column else None for column in columns]
    most = max([1.0, *(mean for mean in means if mean is not None)])
    return "".join(" " if mean is None else SPARKS[round(7 * mean / most)] for mean in means)


def _streams(status: Status) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(style="dim", no_wrap=True)
    for name in status.streams:
        table.add_column(name, justify="right", no_wrap=True)
    cells = [list(_cells(status, name)) for name in status.streams]
    for row in zip(_ROWS, *cells, strict=True):
        table.add_row(*row)
    return table


def _cells(status: Status, name: str) -> Iterator[str | Text]:
    """Yield a column of :func:`_streams`, in the order of ``_ROWS``."""
    stream = status.streams[name]
    yield Text(figure(stream.rate), "bold")
    yield Text(sparkline(status.history, name, 12), "cyan")
    yield f"{stream.settled:,}"
    yield _known(stream.waiting)
    yield f"{stream.in_hand:,}"
    yield _spread(stream.lag, "unknown" if stream.commit else DASH)
    yield _spread(stream.commit, DASH)
    yield DASH if stream.batch is None else f"{figure(stream.batch)} of {stream.batch_size:,}"
    yield _reason(stream)
    parked = f"{stream.parked:,}"
    yield f"{parked}, {span(stream.parked_oldest_s)}" if stream.parked else parked
    yield Text(_known(stream.dead_waiting), "bold yellow" if stream.dead_waiting else "")


def _known(count: int | None) -> str:
    return DASH if count is None else f"{count:,}"


def _spread(found: Spread | None, otherwise: str) -> str:
    return f"{short(found.p50)} / {short(found.p99)}" if found else otherwise


def _reason(stream: Stream) -> str:
    """Return the commonest reason of a flush, and its share."""
    if not stream.flushed_by:
        return DASH
    reason = max(stream.flushed_by, key=lambda reason: stream.flushed_by[reason])
    return f"{reason} {100 * stream.flushed_by[reason]:.0f} %"


def _cdrs(status: Status) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("CDRs", no_wrap=True)
    table.add_column("", no_wrap=True, ratio=1)
    table.add_column("", justify="right", no_wrap=True)
    totals = {name: tally.total for name, tally in status.statuses.items()}
    most = max([1, *totals.values()])
    for name, colour in STATUSES.items():
        total = totals.get(name, 0)
        bar = Text("━" * round(BAR * total / most), colour)
        table.add_row(name, bar, f"{total:,}", style="" if total else "dim")
    return table


def _money(status: Status) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("Money", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_row("refunds waiting", f"{status.money.waiting:,}")
    booked: Mapping[str, int] = {"refund": 0} | status.money.booked
    for kind, count in booked.items():
        table.add_row("refunds booked" if kind == "refund" else kind, f"{count:,}")
    return table


def _workers(status: Status) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("worker", "state", "circuit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("process", "up", "memory", "restarts", "hangs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for worker in status.workers:
        is_alive = worker.pid is not None
        table.add_row(
            f"worker-{worker.number}",
            Text(worker.state, _WORKERS.get(worker.state, "bold red")),
            worker.circuit,
            str(worker.pid) if is_alive else DASH,
            span(worker.uptime_s) if is_alive else DASH,
            f"{worker.rss_bytes / 2**20:.0f} MB" if worker.rss_bytes else DASH,
            str(worker.restarts),
            str(worker.hangs),
        )
    return table
