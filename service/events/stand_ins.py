"""What stands in for the objects of a pickle: names, calls that are kept, and attributes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from service.events.records import Refused

# Longer names would cost time without end: a pickle repeats one in two octets.
_LONGEST_NAME: Final = 100

# Any class of Jasmin and of the SMPP library that it uses may be named: versions differ in them,
# and a name does nothing. Of Python itself, what the pickler writes for octets, sets, dates and the
# filters of a user.
_JASMIN: Final = re.compile(r"(jasmin|smpp)(\.[A-Za-z_][A-Za-z0-9_]*)+", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PYTHON: Final = frozenset(
    {
        ("_codecs", "encode"),
        *((module, name) for module in ("builtins", "__builtin__") for name in ("bytes", "set")),
        *(("datetime", name) for name in ("datetime", "timedelta", "timezone")),
        ("re", "_compile"),
    }
)


class Global(NamedTuple):
    """A class or function that a pickle names."""

    module: str
    name: str


class Call:
    """A call that a pickle asks for, and that is never made."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: Global, arguments: tuple[object, ...]) -> None:
        self.function = function
        self.arguments = arguments


class Object:
    """An instance of a class that is not there: its attributes are in ``state``."""

    __slots__ = ("arguments", "kind", "state")

    def __init__(self, kind: Global, arguments: tuple[object, ...]) -> None:
        self.kind = kind
        self.arguments = arguments
        self.state: dict[str, object] = {}


def named(module: str, name: str) -> Global:
    """Return the class or function of that name.

    Raises:
        Refused: Jasmin's pickles do not name it.
    """
    if max(len(module), len(name)) > _LONGEST_NAME:
        raise _stranger(module, name)
    return _known(module, name)


@lru_cache(maxsize=1024)  # there are a few dozen, unless somebody makes them up
def _known(module: str, name: str) -> Global:
    is_jasmin = _JASMIN.fullmatch(module) and _NAME.fullmatch(name)
    if not is_jasmin and (module, name) not in _PYTHON:
        raise _stranger(module, name)
    return Global(module, name)


def _stranger(module: str, name: str) -> Refused:
    return Refused(f"its pickle names what Jasmin's do not: {f'{module[:80]}.{name[:80]}'[:80]!r}")
