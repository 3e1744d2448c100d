"""What is slower beyond the noise. Pure.

Noise is what the runs of one file differ by among themselves. Two figures are told apart only when
every run of one file lies on one side of every run of the other: by luck alone that makes the
second file the worse one once in 20 times with three runs in each, once in 252 with five.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any, Final

from bench.compare.recording import Incomparable, Key, Recording
from bench.lab.contestant import SERVICE

# Below this nobody cares, and the same code on another day differs by as much.
THRESHOLD: Final = 0.03
# Where there are too few runs to tell what noise there is.
BLIND_THRESHOLD: Final = 0.10
ENOUGH_RUNS: Final = 3

# The figures that decide, and whether more is better; the others are shown.
_MORE_IS_BETTER: Final = {
    "rate": True,
    "cpu_us.workers": False,
    "cpu_us.broker": False,
    "cpu_us.database": False,
    "latency_ms.p50": False,
    "latency_ms.p95": False,
    "latency_ms.p99": False,
}


class Verdict(StrEnum):
    """What is said of a figure: of two that decide nothing, nothing."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "within noise"
    NONE = ""


@dataclass(frozen=True)
class Change:
    """One figure in both files.

    Attributes:
        figure: its name.
        before: of all runs in the first file.
        after: of all runs in the second file.
    """

    figure: str
    before: Sequence[float]
    after: Sequence[float]

    @property
    def share(self) -> float | None:
        """By how much of itself the median changed; None where it was nothing."""
        was = median(self.before)
        return (median(self.after) - was) / was if was else None

    @property
    def noise(self) -> float | None:
        """How far runs of one file are off its median, as a share; None where that is not known."""
        if self.is_blind:
            return None
        return max(_noise(self.before), _noise(self.after))

    @property
    def is_blind(self) -> bool:
        """Whether there are too few runs to know the noise."""
        return min(len(self.before), len(self.after)) < ENOUGH_RUNS

    @property
    def verdict(self) -> Verdict:
        """Whether the second file is better, or worse, beyond the noise."""
        if self.figure not in _MORE_IS_BETTER or self.share is None:
            return Verdict.NONE
        threshold = BLIND_THRESHOLD if self.is_blind else THRESHOLD
        if abs(self.share) <= threshold or self._overlap():
            return Verdict.SAME
        return Verdict.BETTER if (self.share > 0) == _MORE_IS_BETTER[self.figure] else Verdict.WORSE

    def _overlap(self) -> bool:
        return min(self.before) <= max(self.after) and min(self.after) <= max(self.before)


@dataclass(frozen=True)
class Pairing:
    """A contestant that both files have, under the same workload.

    Attributes:
        key: what it is.
        changes: of each figure that both have.
    """

    key: Key
    changes: Sequence[Change]

    @property
    def is_worse(self) -> bool:
        """Whether the service has got worse; what others do is for information."""
        is_ours = self.key.contestant.startswith(SERVICE)
        return is_ours and any(change.verdict is Verdict.WORSE for change in self.changes)


def _noise(values: Sequence[float]) -> float:
    middle = median(values)
    return max(abs(value - middle) for value in values) / middle if middle else 0.0


def pair(first: Recording, second: Recording) -> list[Pairing]:
    """Put together what can be compared. Raises Incomparable when nothing can."""
    if first.command != second.command:
        raise Incomparable(f"results of other commands: {first.command}, {second.command}")
    before, after = first.runs(), second.runs()
    common = [key for key in before if key in after]
    if not common:
        raise Incomparable(_reason(first, second))
    # Of many cells that were tried, those that were tried often.
    often = [key for key in common if min(len(before[key]), len(after[key])) >= ENOUGH_RUNS]
    return [Pairing(key, list(_changes(before[key], after[key]))) for key in often or common]


def warnings(first: Recording, second: Recording) -> Iterator[str]:
    """Yield what makes a comparison doubtful."""
    for name, was, became in _differences(first.surroundings, second.surroundings):
        yield f"{name}: {was}, then {became}"
    theirs = second.settings()
    for contestant, settings in first.settings().items():
        for name, was, became in _differences(settings, theirs.get(contestant, settings)):
            yield f"{contestant}: {name} {was}, then {became}"


def _changes(
    before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]
) -> Iterator[Change]:
    for name in dict.fromkeys(name for run in before for name in run):
        values = [[run[name] for run in runs if name in run] for runs in (before, after)]
        if all(values):
            yield Change(name, *values)


def _reason(first: Recording, second: Recording) -> str:
    """Say why no contestant of one file can be compared with one of the other."""
    workloads = [
        [measurement["workload"] for measurement in recording.content["measurements"]]
        for recording in (first, second)
    ]
    if not all(workloads):
        return "one of them has no measurement"
    differing = [f"{n} {a} and {b}" for n, a, b in _differences(workloads[0][0], workloads[1][0])]
    if differing:
        return f"other workload: {', '.join(differing)}"
    return "they have no contestant in common"


def _differences(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*first, *second]):
        if first.get(name) != second.get(name):
            yield name, first.get(name, "not told"), second.get(name, "not told")
