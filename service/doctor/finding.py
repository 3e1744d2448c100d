"""What a check finds."""

from __future__ import annotations

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
