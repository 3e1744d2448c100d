"""Spans of time as people read them."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def span(seconds: float) -> str:
    """Return a duration in its two largest units: ``45 s``, ``12 min``, ``3 h 30 min``, ``2 d``."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return _two(seconds, (_MINUTE, "min"), (1, "s"))
    if seconds < 2 * _DAY:
        return _two(seconds, (_HOUR, "h"), (_MINUTE, "min"))
    return _two(seconds, (_DAY, "d"), (_HOUR, "h"))


def short(seconds: float) -> str:
    """Return a short duration to two digits or so."""
    if seconds < 0.01:
        return f"{1000 * seconds:.1f} ms"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else span(seconds)


def _two(seconds: float, large: tuple[int, str], small: tuple[int, str]) -> str:
    count, rest = divmod(int(seconds), large[0])
    parts = [(count, large[1]), (rest // small[0], small[1])]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
