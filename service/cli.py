"""The command line: run | top | migrate | check-config | doctor | reconcile | dlq."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from service import __version__, run_directory
from service.commandline import ConfigOption, duration, fail, load_settings, or_fail
from service.config import effective, find_file, load, load_http
from service.dlq.cli import app as dlq
from service.exits import CannotStart, Exit
from service.settings import Settings

EXIT_CODES = """\b
Exit codes:
  0    done, or drained
  1    something is not well: differences, problems, what could not be
       finished
  2    wrong settings, usage or environment
  3    RabbitMQ or PostgreSQL refuse (credentials, privileges, schema, queue
       arguments) or are away, for which only run waits; or the address of
       the status page is taken, or top gets no answer from it
  4    workers died as soon as they were started, again and again
  5    the drain ran out of time or was cut short, so that some messages will
       be delivered again
  143  ended by SIGTERM before it had begun
"""

app = typer.Typer(
    name="billing-service",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # whose boxes keep line breaks of this file, and add others
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)

app.add_typer(dlq, name="dlq")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"billing-service {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Settle a Jasmin SMS gateway's billing events and delivery receipts in PostgreSQL.

    First time: set BILLING_DATABASE_URL and BILLING_JASMIN_AMQP_HOST, look at
    `billing-service check-config`, then `billing-service migrate`, then `billing-service run`.

    When anything is wrong: `billing-service doctor` says what to do.

    Every setting can be given in a TOML file (config/billing.toml explains them all) or in the
    environment, which wins.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # what it cannot show becomes escapes, as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")


@app.command()
def run(config: ConfigOption = None) -> None:
    """Consume, and settle, until SIGTERM or Ctrl-C.

    Starts a worker process for each core, waits for RabbitMQ and PostgreSQL where they are not
    up yet, and serves a status page, /metrics, /healthz and /readyz. On SIGTERM or Ctrl-C it stops
    consuming, commits and acknowledges what is in hand, and exits with 0; at a second one it ends
    at once.

    SIGHUP reads the settings again and replaces the workers one after another, each by one that
    consumes already. SIGTTIN and SIGTTOU start and drain one worker.
    """
    settings = load_settings(config)
    try:
        with run_directory.create():
            code = _supervise(settings, lambda: load(config))
    except run_directory.NotWritable as error:
        fail(str(error), Exit.CONFIG)
    raise typer.Exit(code)


@app.command()
def top(
    config: ConfigOption = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Where the service serves its status page.",
            show_default="as http.host and http.port have it",
        ),
    ] = None,
    interval: Annotated[
        timedelta | None,
        typer.Option(
            "--interval",
            parser=duration,
            metavar="TIME",
            help="Look so often: 1s 30s.",
            show_default="1s",
        ),
    ] = None,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Show it once; the default elsewhere than on a terminal.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print it once, as JSON.")] = False,
) -> None:
    """Show a running service's status page in a terminal. q ends it."""
    from rich.console import Console  # noqa: PLC0415 - the other commands start faster without

    from service.status import top as watching  # noqa: PLC0415
    from service.status import view  # noqa: PLC0415

    console = Console(highlight=False)
    url = url or or_fail(load_http, config).url
    try:
        if once or json or not (console.is_terminal and sys.stdin.isatty()):
            document = asyncio.run(watching.fetch(url))
            shown = view.render(watching.read(document))
            console.out(document.decode()) if json else console.print(shown)
        else:
            asyncio.run(
                watching.watch(url, (interval or timedelta(seconds=1)).total_seconds(), console)
            )
    except watching.NoAnswer as error:
        fail(str(error), Exit.CANNOT_START)


@app.command()
def migrate(config: ConfigOption = None) -> None:
    """Create or update the tables. Safe to repeat, and on several hosts at once.

    Creates what is missing and adds columns of this service to the gateway's tables; never drops
    or rewrites what it finds. Needs a role that may create tables and owns the gateway's.
    """
    import psycopg  # noqa: PLC0415 - the other commands start faster without
    import sqlalchemy.exc  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    from service.store import migrate as migration  # noqa: PLC0415

    url = load_settings(config).database.url.get_secret_value()
    try:
        migration.migrate(url, typer.echo)
    except migration.Pooled:
        fail(
            "cannot migrate: database.url (BILLING_DATABASE_URL) leads to a connection pooler such "
            "as PgBouncer; give migrate the URL of PostgreSQL itself",
            Exit.CANNOT_START,
        )
    except (CannotStart, CommandError) as error:
        fail(f"cannot migrate: {error}", Exit.CANNOT_START)
    except (psycopg.Error, sqlalchemy.exc.DBAPIError) as error:
        fail(f"cannot migrate: {migration.explain(error, url)}", Exit.CANNOT_START)


@app.command()
def reconcile(
    config: ConfigOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    limit: Annotated[
        int, typer.Option(min=0, help="How many differing rows to name for each check.")
    ] = 20,
) -> None:
    """Compare ledger, balances, charges, refunds and CDRs. Name every row that differs.

    All is compared as of one moment, while the service may go on running. An account that is seen
    for the first time gets its opening balance recorded. Exits with 1 if anything differs.
    """
    import asyncpg  # noqa: PLC0415 - the other commands start faster without

    from service.ops import reconciliation  # noqa: PLC0415
    from service.store import reconcile as comparing  # noqa: PLC0415

    settings = load_settings(config)
    try:
        tell = partial(typer.echo, err=True)
        found = asyncio.run(comparing.reconcile(settings, limit, tell))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        why = comparing.explain(error, settings.database.url.get_secret_value())
        fail(f"cannot reconcile: {why}", Exit.CANNOT_START)
    typer.echo(reconciliation.as_json(found) if json else reconciliation.as_text(found))
    raise typer.Exit(Exit.FAILED if found.differences else Exit.OK)


@app.command()
def doctor(
    config: ConfigOption = None,
    jasmin_config: Annotated[
        Path | None,
        typer.Option(
            "--jasmin-config",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Jasmin's jasmin.cfg: look at it, too.",
        ),
    ] = None,
    management_url: Annotated[
        str | None,
        typer.Option(
            "--management-url",
            metavar="URL",
            help="RabbitMQ's management, for bindings, policies and alarms: http://HOST:15672; as "
            "the user of jasmin.amqp_user, unless the URL names another.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find what keeps events from being settled, and what to do.

    Looks at RabbitMQ, PostgreSQL and the service that runs here, as the user and role of the
    settings, and changes nothing: it declares, consumes and writes nothing. What it tries to learn
    about queues and privileges are requests that RabbitMQ refuses, each of which is a line in
    RabbitMQ's log. Ends within 15 seconds. Exits with 1 if there is a problem.
    """
    from service.doctor import report  # noqa: PLC0415 - the other commands start faster without
    from service.doctor.examination import examine  # noqa: PLC0415
    from service.doctor.finding import Level  # noqa: PLC0415
    from service.ops import log  # noqa: PLC0415

    settings = load_settings(config)
    log.configure(settings.log)

    async def tell() -> Exit:
        areas = await examine(settings, jasmin_config, management_url)
        # Here, as the end of the loop waits for a name that is still being looked up.
        typer.echo(report.as_json(areas) if json else report.as_text(areas))
        return Exit.FAILED if report.count(areas)[Level.PROBLEM] else Exit.OK

    raise typer.Exit(asyncio.run(tell()))


@app.command("check-config")
def check_config(config: ConfigOption = None) -> None:
    """Show the settings in force, and where each comes from. Secrets are masked.

    Exits with 2 and a list of what is wrong when they cannot work.
    """
    settings = load_settings(config)
    rows = list(effective(settings, config))
    name_width = max(len(row.name) for row in rows)
    value_width = min(44, max(len(row.value) for row in rows))
    typer.echo(f"# file: {find_file(config) or 'none'}")
    for row in rows:
        origin = row.variable if row.origin == "environment" else row.origin
        typer.echo(f"{row.name:<{name_width}} = {row.value:<{value_width}}  # {origin}")


def _supervise(settings: Settings, reload: Callable[[], Settings]) -> Exit:
    import structlog  # noqa: PLC0415 - only after the run's directory is there
    import uvloop  # noqa: PLC0415

    from service.ops import log  # noqa: PLC0415
    from service.supervisor import Supervisor  # noqa: PLC0415

    log.configure(settings.log)

    async def supervise() -> Exit:
        return await Supervisor(settings, reload).run()

    try:
        return uvloop.run(supervise())
    except CannotStart as error:
        structlog.get_logger().critical(str(error))
        return Exit.CANNOT_START
