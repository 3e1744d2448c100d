"""Whether what was sent and what was settled add up."""

from dataclasses import dataclass

from bench.demo.probe import Snapshot
from bench.demo.sender import Sender


@dataclass(frozen=True)
class Ledger:
    """The two sides of the account.

    Attributes:
        sender: what was sent.
        parked: events of earlier runs that waited in the database.
        queued: messages that a run left in the broker when it was killed. What of them had been
            committed already is known to nobody, so that the account is exact but for these.
    """

    sender: Sender
    parked: int
    queued: int

    def missing(self, snapshot: Snapshot) -> int:
        """Count the events neither settled nor refused nor parked; negative: counted twice."""
        came = self.sender.published.total() + self.parked + self.queued
        return came - snapshot.settled - snapshot.dead - snapshot.parked

    def is_quiet(self, snapshot: Snapshot) -> bool:
        """Whether nothing is on its way any more."""
        return abs(self.missing(snapshot)) <= self.queued and snapshot.parked <= self.parked

    def problems(self, snapshot: Snapshot, exit_code: int) -> list[str]:
        """Say what does not add up at the end."""
        missing = self.missing(snapshot)
        refused = snapshot.dead - self.sender.rubbish - self.queued
        found = {
            f"{missing} events were not settled when the drain began": missing > self.queued,
            f"{-missing} events more were settled than sent": missing < -self.queued,
            f"{refused} events were refused that are no rubbish": refused > 0,
            f"billing-service ended with exit code {exit_code}": exit_code != 0,
        }
        return [problem for problem, true in found.items() if true]

    def verdict(self) -> str:
        """Say what adds up where there is no problem."""
        if not self.queued:
            return "every event is accounted for"
        return f"every event is accounted for, but for {self.queued:,} left by an earlier run"
