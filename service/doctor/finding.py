"""What a check finds."""

from __future__ import annotations

import os
import ssl
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How good or bad something is.

    OK: as it should be.
    UNKNOWN: it could not be looked at, which says nothing.
    WARNING: look at it within the day.
    PROBLEM: events or money wait, or will be lost, until somebody acts.
    """

    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        check: which check it is of; a name for machines.
        level: how good or bad it is.
        says: what is so.
        remedy: what to do about it; empty where ``says`` has it, or nothing is to be done.
    """

    check: str
    level: Level
    says: str
    remedy: str = ""


def ok(check: str, says: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Level.OK, says)


def unknown(check: str, says: str, remedy: str = "") -> Finding:
    """Return that something could not be looked at."""
    return Finding(check, Level.UNKNOWN, says, remedy)


def warning(check: str, says: str, remedy: str = "") -> Finding:
    """Return that somebody should look at something."""
    return Finding(check, Level.WARNING, says, remedy)


def problem(check: str, says: str, remedy: str = "") -> Finding:
    """Return that somebody must act."""
    return Finding(check, Level.PROBLEM, says, remedy)


def reason(error: BaseException) -> str:
    """Return, in a line, why something could not be reached."""
    cause, below = error, error.__cause__
    while below is not None:
        cause, below = below if isinstance(below, OSError) else cause, below.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    if number and number > 0 and not isinstance(cause, ssl.SSLError):
        return os.strerror(number)
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return (str(cause) or type(cause).__name__).splitlines()[0]
