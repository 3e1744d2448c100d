"""One thing that is compared when a run is over."""

from collections.abc import Mapping
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
        for key in [*expected, *(found.keys() - expected.keys())]:
            if expected.get(key) != found.get(key):
                self.differ(f"{key}: expected {expected.get(key)}, found {found.get(key)}")
        return self
