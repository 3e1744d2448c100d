"""What all commands share: the settings they need, and how they end when that is impossible."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, NoReturn, TypeVar

import typer

from service.config import ConfigError, load
from service.exits import Exit
from service.settings import Settings

Read = TypeVar("Read")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="TOML file; default: $BILLING_CONFIG, else config/billing.toml where there is one.",
    ),
]


_DURATION: Final = re.compile(r"(\d+)([smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """Read ``30s``, ``15m``, ``2h`` or ``7d``.

    Raises:
        typer.BadParameter: it is none.
    """
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration such as 30s, 15m, 2h or 7d")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except (OverflowError, ValueError):
        raise typer.BadParameter(f"{text!r} is too long") from None


def load_settings(config: Path | None) -> Settings:
    """Read the settings, or end with a list of what is wrong with them."""
    return or_fail(load, config)


def or_fail(read: Callable[[Path | None], Read], config: Path | None) -> Read:
    """Read some of the settings, or end likewise."""
    try:
        return read(config)
    except ConfigError as error:
        listing = "\n".join(f"  - {problem}" for problem in error.problems)
        fail(f"these settings cannot work:\n{listing}", Exit.CONFIG)


def fail(message: str, code: Exit) -> NoReturn:
    """Say why on standard error, and end."""
    note(message)
    sys.exit(code)


def note(message: str) -> None:
    """Say something on standard error."""
    typer.echo(f"billing-service: {message}", err=True)
