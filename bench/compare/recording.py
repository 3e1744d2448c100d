"""A result as a file has it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from bench.lab.result import flatten

# What of a measurement is no figure.
_DESCRIPTION = {"contestant", "settings", "workload", "events", "checks", "void"}


class Incomparable(Exception):
    """Two files that nothing can be said about; the text says why."""


class Key(NamedTuple):
    """What is compared with its like: a contestant under a workload, written as JSON."""

    contestant: str
    workload: str


@dataclass(frozen=True)
class Recording:
    """A result that was written earlier.

    Attributes:
        path: its file.
        content: what is in it.
    """

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file. Raises Incomparable."""
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise Incomparable(f"{path}: cannot be read: {error}") from error
        if not isinstance(content, dict) or not content.keys() >= {"command", "measurements"}:
            raise Incomparable(f"{path}: not what a measuring command of this program writes")
        recording = cls(path, content)
        if not content["measurements"]:
            raise Incomparable(f"{path}: no measurement in it")
        if content.get("void"):
            raise Incomparable(f"{path}: void: not every event was accounted for; measure again")
        return recording

    @property
    def command(self) -> str:
        """Which command wrote it."""
        return str(self.content["command"])

    @property
    def surroundings(self) -> dict[str, Any]:
        """The machine and the servers, by name."""
        return flatten({name: self.content.get(name) or {} for name in ("machine", "place")})

    def runs(self) -> dict[Key, list[dict[str, float]]]:
        """Return the figures of all runs that count."""
        runs: dict[Key, list[dict[str, float]]] = {}
        for measurement in self.content["measurements"]:
            if not measurement.get("void"):
                runs.setdefault(_key(measurement), []).append(_figures(measurement))
        return runs

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return the settings of each contestant."""
        return {each["contestant"]: each["settings"] for each in self.content["measurements"]}


def _key(measurement: Mapping[str, Any]) -> Key:
    return Key(measurement["contestant"], json.dumps(measurement["workload"], sort_keys=True))


def _figures(measurement: Mapping[str, Any]) -> dict[str, float]:
    figures = flatten({n: v for n, v in measurement.items() if n not in _DESCRIPTION})
    return {name: value for name, value in figures.items() if isinstance(value, int | float)}
