"""How it looks: the live view of a terminal, the line of a pipe, and the summary of both."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bench.demo.probe import History
from bench.demo.sender import Sender
from service.quantities import quantity
from service.status.view import SPARKS

COLOURS: Final = {
    "queued": "bright_black",
    "submitted": "cyan",
    "pending": "blue",
    "delivered": "green",
    "failed": "red",
    "expired": "yellow",
    "rejected": "magenta",
}
_SPARKS: Final = 9  # the width of a column where there are three in 80
_TIMED: Final = ("decode", "commit")
_GAUGES: Final = ("parked", "parked_oldest_seconds", "unacknowledged")
_ROWS: Final = (
    "events/s",
    "",
    "batch size",
    "flushed by",
    "decode",
    "commit",
    "age p50",
    "age p99",
    "ready",
    "unacknowledged",
    "parked, oldest",
)


def live(
    phase: str, seconds: float, sender: Sender, history: History, places: Mapping[str, str]
) -> RenderableType:
    """Render the view of a terminal of 80 by 24 or more; ``seconds`` is for how long it runs."""
    ready = history.last.ready
    title = Text.assemble(
        ("billing-service", "bold"),
        f"  {seconds:.0f} s  ",
        (
            f"{sum(ready.values())}/{quantity(len(ready), 'worker')} ready",
            _good(all(ready.values())),
        ),
        "  ",
        (phase, "bold yellow"),
    )
    columns = Table.grid(expand=True)
    columns.add_column(ratio=11)
    columns.add_column(ratio=7)
    columns.add_row(_streams(history), _messages(sender, history))
    return Group(title, columns, _places(places))


def line(seconds: float, sender: Sender, history: History) -> str:
    """Render one moment as a line."""
    last = history.last
    streams = "  ".join(
        f"{stream} {_rate(history, stream):.0f}/s batch {_batch(history, stream):.1f} "
        f"p99 {_age(history, stream, 0.99)}"
        for stream in history.last.queued
    )
    statuses = " ".join(f"{last.statuses[s]} {s}" for s in COLOURS if s in last.statuses)
    return (
        f"{seconds:4.0f} s  sent {sender.sent} SMS  "
        f"settled {last.settled}/{sender.published.total()} events  {streams}  "
        f"parked {last.parked}  dead {last.dead}  | {statuses}"
    )


def summary(
    sender: Sender, statuses: Mapping[str, int], rows: Mapping[str, int], verdict: Text
) -> RenderableType:
    """Render what it came to; ``rows`` are further counts, ``verdict`` whether it adds up."""
    table = Table("", "", title="What it came to", show_header=False, title_justify="left")
    table.columns[1].justify = "right"
    table.add_row("SMS sent", f"{sender.sent:,}")
    for stream, count in sorted(sender.published.items()):
        table.add_row(f"events published, {stream}", f"{count:,}")
    table.add_section()
    for status, colour in COLOURS.items():
        table.add_row(Text(f"CDRs {status}", colour), f"{statuses.get(status, 0):,}")
    table.add_section()
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    return Group(table, verdict)


def _streams(history: History) -> Panel:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(style="dim", no_wrap=True)
    for stream in history.last.queued:
        table.add_column(stream, justify="right", no_wrap=True)
    for row in zip(
        _ROWS, *(_cells(history, stream) for stream in history.last.queued), strict=True
    ):
        table.add_row(*row)
    return Panel(table, title="last 10 s", title_align="left", border_style="bright_black")


def _cells(history: History, stream: str) -> list[str | Text]:
    """Return a column of :func:`_streams`, in the order of ``_ROWS``."""
    window, service = history.window, history.last.service
    decode, commit = (window.mean(f"billing_{what}_seconds", stream=stream) for what in _TIMED)
    parked, age, unacknowledged = (service.total(f"billing_{g}", stream=stream) for g in _GAUGES)
    return [
        f"{_rate(history, stream):.1f}",
        _sparkline(history.rates("billing_batch_events_sum", stream)),
        f"{_batch(history, stream):.1f}",
        _reason(history, stream),
        f"{1000 * (decode or 0):.2f} ms",
        f"{1000 * (commit or 0):.1f} ms",
        _age(history, stream, 0.5),
        _age(history, stream, 0.99),
        f"{history.last.queued[stream]:,}",
        f"{unacknowledged:,.0f}",
        f"{parked:,.0f}, {max(0, age):.0f} s",
    ]


def _messages(sender: Sender, history: History) -> Panel:
    last = history.last
    table = Table(box=None, expand=True, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    most = max([1, *last.statuses.values()])
    for status, colour in COLOURS.items():
        count = last.statuses.get(status, 0)
        table.add_row(status, Bar(most, 0, count, color=colour), f"{count:,}")
    table.add_row()
    for name, count, style in (
        ("events sent", sender.published.total(), ""),
        ("settled", last.settled, "green"),
        ("refused", last.dead, "red" if last.dead else ""),
    ):
        table.add_row(name, "", Text(f"{count:,}", style))
    title = f"{sender.sent:,} SMS by status"
    return Panel(table, title=title, title_align="left", border_style="bright_black", height=14)


def _places(places: Mapping[str, str]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for what, where in places.items():
        table.add_row(what, escape(where))
    return table


def _rate(history: History, stream: str) -> float:
    rates = history.rates("billing_batch_events_sum", stream)
    return sum(rates) / len(rates) if rates else 0


def _batch(history: History, stream: str) -> float:
    return history.window.mean("billing_batch_events", stream=stream) or 0


def _age(history: History, stream: str, share: float) -> str:
    """From publication to commit of the oldest message of a batch; a stock Jasmin does not say."""
    age = history.window.quantile(share, "billing_publish_to_commit_seconds", stream=stream)
    return "-" if age is None else f"{1000 * age:.0f} ms"


def _reason(history: History, stream: str) -> str:
    """Return the commonest reason of a flush, and its share."""
    reasons = history.window.grown("billing_batches_total", "reason", stream=stream)
    total = sum(reasons.values())
    if not total:
        return "-"
    reason = max(reasons, key=lambda reason: reasons[reason])
    return f"{reason} {reasons[reason] / total:.0%}"


def _sparkline(values: Sequence[float]) -> Text:
    shown = values[-_SPARKS:]
    most = max([1.0, *shown])
    return Text("".join(SPARKS[round(7 * value / most)] for value in shown), "cyan")


def _good(good: bool) -> str:
    return "green" if good else "red"
