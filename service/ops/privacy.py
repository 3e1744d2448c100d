"""Keeps phone numbers, and what rows say, out of the log."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any, Final

import asyncpg

# Identifiers and figures of ours, which may look like phone numbers.
_IDENTIFIERS: Final = frozenset({"message_id", "timestamp", "level", "pid", "worker", "queue"})

# A UUID, which stays; or 7 to 15 digits that stand free: in no word, id or fraction.
_NUMBER: Final = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?:(?<=\\[nrt])|(?<![\w+]))(?<![0-9]\.)(?P<number>\+?[0-9]{7,15})(?!\w|\.[0-9])",
    re.ASCII,
)
# Tabs and line ends are those of stack traces.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_FIRST: Final = 3
_LAST: Final = 2


def mask(text: str) -> str:
    """Return ``text`` with every phone number in it shown as ``346......56``."""
    return _NUMBER.sub(_masked, text)


def mask_line(_logger: object, _method: str, line: MutableMapping[str, Any]) -> Any:
    """Mask every text of a log line; a processor of structlog's."""
    return {
        name: value if name in _IDENTIFIERS else _mask_all(value) for name, value in line.items()
    }


def escape_line(_logger: object, _method: str, line: MutableMapping[str, Any]) -> Any:
    """Show control characters as escapes, so that nothing from the wire commands a terminal."""
    return {
        name: _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
        if isinstance(value, str)
        else value
        for name, value in line.items()
    }


def conceal_rows() -> None:
    """Let PostgreSQL's errors, wherever they are shown, say nothing of any row's values.

    Their DETAIL quotes the row. It comes with the text of the exception, and so with every stack
    trace, whoever prints it. ``error.detail`` still has it.
    """
    asyncpg.PostgresError.__str__ = _without_rows  # type: ignore[method-assign, assignment]


def _without_rows(error: asyncpg.PostgresError) -> str:
    text = Exception.__str__(error).partition("\n")[0]
    if isinstance(error, asyncpg.DataError):  # 'invalid input syntax for type uuid: "a value"'
        text = text.partition(": ")[0].partition(' "')[0]
    return text


def _masked(found: re.Match[str]) -> str:
    number = found["number"]
    if number is None:
        return found[0]
    digits = number.removeprefix("+")
    sign = number[: len(number) - len(digits)]
    dots = "." * (len(digits) - _FIRST - _LAST)
    return f"{sign}{digits[:_FIRST]}{dots}{digits[-_LAST:]}"


def _mask_all(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {name: _mask_all(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_mask_all(inner) for inner in value]
    return value
