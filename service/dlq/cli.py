"""``billing-service dlq``: list | show | replay | export | purge."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.broker.topology import BILL, DLR, SUBMIT
from service.commandline import ConfigOption, duration, fail, load_settings, note
from service.dlq import running
from service.dlq.selection import Selection
from service.exits import Exit
from service.quantities import quantity

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection

    from service.dlq.actions import Tell

STANDARD_OUTPUT = Path("-")
LISTED = 50
SHOWN = 20

app = typer.Typer(
    no_args_is_help=True,
    help="""Look after dead letters: list, show, replay, export, purge.

    They can be looked at while the service runs. What a command does not remove goes back to its
    place when the command ends, however it ends; meanwhile no second command sees it.
    """,
)


class StreamName(StrEnum):
    """What --stream may be."""

    DLR = "dlr"
    BILL = "bill"
    SUBMIT = "submit"


StreamOption = Annotated[
    StreamName | None, typer.Option("--stream", help="Only this stream's dead letters.")
]
ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", metavar="TEXT", help="Only with this in their reason, in any case."),
]
OlderOption = Annotated[
    timedelta | None,
    typer.Option(
        "--older-than", parser=duration, metavar="AGE", help="Only dead for longer: 30s 15m 2h 7d."
    ),
]
NewerOption = Annotated[
    timedelta | None,
    typer.Option(
        "--newer-than", parser=duration, metavar="AGE", help="Only dead for less: 30s 15m 2h 7d."
    ),
]
IdOption = Annotated[
    str, typer.Option("--id", metavar="ID", help="Only those whose id begins with this.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="So many at most, the oldest first.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say how many it would be, and change nothing.")
]


@app.command("list")
def list_(
    *,
    stream: StreamOption = None,
    reason: ReasonOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: Annotated[int, typer.Option(min=0, help="How many to show; all are counted.")] = LISTED,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigOption = None,
) -> None:
    """Count dead letters by stream and reason, and show the oldest."""
    from rich.console import Console  # noqa: PLC0415 - the other commands start faster without

    from service.dlq import actions, view  # noqa: PLC0415

    selection = _selection(
        stream=stream, reason=reason, older_than=older_than, newer_than=newer_than
    )
    settings = load_settings(config)
    found: list[actions.Listing] = []

    async def look(connection: AbstractConnection, tell: Tell) -> None:
        found.append(await actions.look(connection, selection, limit, tell))

    running.run(settings, "list", look)
    (listing,) = found
    if not settings.capture.enabled and SUBMIT.dead_queue in listing.missing:
        listing.missing.remove(SUBMIT.dead_queue)  # nor will there be one
    if json:
        typer.echo(view.listing_as_json(listing))
    else:
        width = None if sys.stdout.isatty() else 200
        view.print_listing(Console(width=width, highlight=False, markup=False), listing)


@app.command()
def show(
    *,
    id: Annotated[str, typer.Argument(metavar="ID", help="An id of the list, or its beginning.")],  # noqa: A002
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show phone numbers and message texts too.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Show all about a dead letter. Phone numbers are masked and message texts hidden."""
    from service.dlq import actions, view  # noqa: PLC0415

    if not id.strip():
        raise typer.BadParameter("give an id, or its beginning; billing-service dlq list has them")
    selection = _selection(id=id)
    listing: list[actions.Listing] = []

    async def look(connection: AbstractConnection, tell: Tell) -> None:
        listing.append(await actions.look(connection, selection, SHOWN, tell))

    running.run(load_settings(config), "show", look)
    total, letters = listing[0].counts.total(), listing[0].letters
    if not letters:
        fail(f"no dead letter has an id that begins with {id!r}", Exit.FAILED)
    if total > 1:
        typer.echo(f"{total:,} dead letters have an id that begins with {view.printable(id)}:\n")
    typer.echo("\n\n".join(view.as_text(letter, reveal=reveal) for letter in letters))
    if total > len(letters):
        typer.echo(f"\nand {total - len(letters):,} more")


@app.command()
def replay(
    *,
    stream: StreamOption = None,
    reason: ReasonOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    id: IdOption = "",  # noqa: A002
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
) -> None:
    """Put dead letters back into this service's own queues. Never into Jasmin's exchanges.

    One leaves the dead queue only when RabbitMQ has confirmed that the other queue has it. After
    an interruption a few may be in both, which changes nothing: no event is applied twice.
    """
    from service.broker.connection import connect  # noqa: PLC0415
    from service.dlq import actions  # noqa: PLC0415

    selection = _selection(
        stream=stream,
        reason=reason,
        older_than=older_than,
        newer_than=newer_than,
        id=id,
        limit=limit,
    )
    settings, tally = load_settings(config), actions.Tally()

    async def act(connection: AbstractConnection, tell: Tell) -> None:
        if dry_run:
            await actions.count(connection, selection, tally, tell)
            return
        # One of its own: under an alarm RabbitMQ stops reading connections that publish.
        async with connect(settings.jasmin, "billing-service dlq replay publisher") as publishing:
            await actions.replay(
                connection,
                publishing,
                selection,
                tally,
                limits={
                    DLR: settings.dlr.max_length,
                    BILL: settings.bill.max_length,
                    SUBMIT: settings.capture.max_length,
                },
                tell=tell,
                note=note,
            )

    if dry_run:
        running.run(settings, "replay", act)
        typer.echo(f"{quantity(tally.done - tally.kept, 'dead letter')} would be replayed")
    else:
        with running.telling(tally, "replayed"):
            running.run(settings, "replay", act)
    if tally.kept:
        note(_kept(tally.kept))


@app.command()
def export(
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write, as JSON Lines; - is standard output.",
        ),
    ],
    stream: StreamOption = None,
    reason: ReasonOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    id: IdOption = "",  # noqa: A002
    limit: LimitOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    config: ConfigOption = None,
) -> None:
    """Write dead letters to a file, whole and unmasked. They stay in the dead queue.

    The file appears when it is complete, readable for its owner only. It is to be looked at and
    kept; no command reads it back.
    """
    from service.dlq import actions  # noqa: PLC0415
    from service.dlq.files import standard_output, whole_file  # noqa: PLC0415
    from service.reasons import reason as why  # noqa: PLC0415

    selection = _selection(
        stream=stream,
        reason=reason,
        older_than=older_than,
        newer_than=newer_than,
        id=id,
        limit=limit,
    )
    settings, tally = load_settings(config), actions.Tally()
    is_stream = output == STANDARD_OUTPUT
    place = "standard output" if is_stream else output
    try:
        with standard_output() if is_stream else whole_file(output, replace=force) as file:

            async def act(connection: AbstractConnection, tell: Tell) -> None:
                await actions.export(connection, selection, file, tally, tell)

            running.run(settings, "export", act)
    except IsADirectoryError:
        fail(f"{output} is a directory; give a file: --output {output / 'dead.jsonl'}", Exit.CONFIG)
    except FileExistsError:
        fail(f"{output} exists; --force replaces it", Exit.CONFIG)
    except (actions.CannotWrite, OSError) as error:
        fail(f"cannot write {place}: {why(error)}", Exit.FAILED)
    typer.echo(f"{quantity(tally.done, 'dead letter')} exported to {place}", err=is_stream)


@app.command()
def purge(
    *,
    stream: StreamOption = None,
    reason: ReasonOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    id: IdOption = "",  # noqa: A002
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = None,
) -> None:
    """Remove dead letters for good; export them before. Asks first, unless --yes is given."""
    from service.dlq import actions  # noqa: PLC0415

    selection = _selection(
        stream=stream,
        reason=reason,
        older_than=older_than,
        newer_than=newer_than,
        id=id,
        limit=limit,
    )
    settings = load_settings(config)
    if not (yes or dry_run or sys.stdin.isatty()):
        fail("purge asks before it removes anything; without a terminal give --yes", Exit.CONFIG)
    if dry_run or not yes:
        found = actions.Tally()
        running.run(settings, "purge", lambda c, tell: actions.count(c, selection, found, tell))
        if dry_run:
            typer.echo(f"{quantity(found.done, 'dead letter')} would be removed")
            return
        if not found.done:
            typer.echo("0 dead letters removed")
            return
        if not typer.confirm(f"Remove {quantity(found.done, 'dead letter')} for good?"):
            fail("nothing was removed", Exit.FAILED)
        selection = selection._replace(limit=found.done)
    tally = actions.Tally()
    with running.telling(tally, "removed"):
        running.run(settings, "purge", lambda c, tell: actions.purge(c, selection, tally, tell))


def _selection(
    *,
    stream: StreamName | None = None,
    reason: str | None = None,
    older_than: timedelta | None = None,
    newer_than: timedelta | None = None,
    id: str = "",  # noqa: A002
    limit: int | None = None,
) -> Selection:
    return Selection(datetime.now(UTC), stream, reason, older_than, newer_than, id.strip(), limit)


def _kept(number: int) -> str:
    kept = quantity(
        number, "cannot be replayed and stays: its", "cannot be replayed and stay: their"
    )
    return (
        f"{kept} headers can be read or written only in part; billing-service dlq export keeps "
        "what there is"
    )
