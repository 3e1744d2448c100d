"""``python -m bench.demo``: the service on what is configured, else on private servers."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from bench.demo.demo import Options, run_demo
from bench.stack import StackError
from bench.stack.program import ProgramFailed

# Any of these says that there are servers to run on; sample traffic must not reach them.
CONFIGURED = ("BILLING_DATABASE_URL", "BILLING_JASMIN_AMQP_HOST", "BILLING_CONFIG")
_RATES: Final = {False: 20.0, True: 5.0}


def main(
    *,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="SMS per second of sample traffic.", show_default="20; of Jasmin 5"
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="Stop by itself after so long; 0: on Ctrl-C.")
    ] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes.", show_default="one for each core")
    ] = None,
    jasmin: Annotated[
        bool,
        typer.Option("--jasmin", help="Send it through a real Jasmin to a simulated operator."),
    ] = False,
    pictures: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Put pictures of the status page there at the end; installs Chromium.",
        ),
    ] = None,
) -> None:
    """Show the service at work on a private RabbitMQ and PostgreSQL, with sample traffic.

    Where BILLING_DATABASE_URL, BILLING_JASMIN_AMQP_HOST or BILLING_CONFIG is set, migrate and run
    on what they say instead, without sample traffic.
    """
    configured = [name for name in CONFIGURED if name in os.environ]
    if configured:
        _run_configured(configured)
    try:
        code = run_demo(Options(rate or _RATES[jasmin], seconds, workers, jasmin, pictures))
    except (StackError, ProgramFailed) as error:
        print(f"make run: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("\ninterrupted while starting; everything is stopped", file=sys.stderr)
        code = 130
    raise typer.Exit(code)


def _run_configured(names: list[str]) -> None:
    """Become ``billing-service run`` after a migration; returns never."""
    print(f"{', '.join(names)} set: running on what is configured, without sample traffic")
    print("unset it to see the demonstration on private servers", flush=True)
    command = [sys.executable, "-m", "service"]
    migrated = subprocess.run([*command, "migrate"], check=False)
    if migrated.returncode != 0:
        raise typer.Exit(migrated.returncode)
    os.execv(command[0], [*command, "run"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    typer.run(main)
