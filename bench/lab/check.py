"""One thing that is compared when a run is over."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_NAMED: Final = 10


@dataclass
class Check:
    """One thing that was compared.

    Attributes:
        what: is compared.
        compared: how many.
        differences: the first of those that differ, in words.
        different: how many differ.
    """

    what: str
    compared: int = 0
    different: int = 0
    differences: list[str] = field(default_factory=list)

    def differ(self, text: str) -> None:
        """Note a difference."""
        self.different += 1
        if len(self.differences) < _NAMED:
            self.differences.append(text)

    def compare(self, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> "Check":
        """Compare what must be the same, key by key, and have the same keys."""
        self.compared += len(expected)
        for key, value in expected.items():
            if key not in found:
                self.differ(f"{key}: expected {value}, not found")
            elif found[key] != value:
                self.differ(f"{key}: expected {value}, found {found[key]}")
        for key in found.keys() - expected.keys():
            self.differ(f"{key}: not expected, found {found[key]}")
        return self


def add_up(checks: Iterable[Check]) -> bool:
    """Whether anything was compared, and nothing differs."""
    made = list(checks)
    return any(check.compared for check in made) and not any(check.different for check in made)
