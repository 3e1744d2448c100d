"""What a fault did to the flow of messages: rates around it, pauses, what came again. Pure."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from bench.chaos.observer import Commit

# How long before a fault its rate is taken.
BEFORE_SECONDS: Final = 8.0


class Sample(NamedTuple):
    """How many publications the broker had confirmed at a POSIX time."""

    at: float
    sent: int


class Span(NamedTuple):
    """One fault and the calm after it; times are POSIX seconds."""

    fault: str
    detail: str
    began: float
    mended: float
    calm_until: float


class Effect(NamedTuple):
    """A fault's row in the table.

    Attributes:
        fault: what was done, and
        detail: to whom.
        lasted_s: until it was mended.
        before: messages committed a second, before it,
        during: while it lasted, and
        after: from then until the next one.
        commit_pause_s: the longest time without a commit on any host.
        confirm_pause_s: the longest time in which the broker confirmed nothing to the publisher.
        redelivered: messages that were committed and had been delivered before.
    """

    fault: str
    detail: str
    lasted_s: float
    before: float
    during: float
    after: float
    commit_pause_s: float
    confirm_pause_s: float
    redelivered: int


def effect(span: Span, commits: Sequence[Commit], samples: Sequence[Sample]) -> Effect:
    """Return what a fault did."""
    began, mended, end = span.began, span.mended, span.calm_until
    confirms = (later.at for earlier, later in pairwise(samples) if later.sent > earlier.sent)
    return Effect(
        fault=span.fault,
        detail=span.detail,
        lasted_s=round(mended - began, 1),
        before=_rate(commits, began - BEFORE_SECONDS, began),
        during=_rate(commits, began, mended),
        after=_rate(commits, mended, end),
        commit_pause_s=longest_pause((commit.at for commit in commits), began, end),
        confirm_pause_s=longest_pause(confirms, began, end),
        redelivered=sum(c.redelivered for c in commits if began <= c.at < end),
    )


def longest_pause(moments: Iterable[float], start: float, end: float) -> float:
    """Return the longest time in a span in which there is no such moment, in seconds."""
    within = sorted(moment for moment in moments if start < moment < end)
    return round(max(b - a for a, b in pairwise([start, *within, end])), 2)


def _rate(commits: Sequence[Commit], start: float, end: float) -> float:
    committed = sum(commit.size for commit in commits if start <= commit.at < end)
    return round(committed / (end - start))
