"""What an operator saw and did, for whoever wants to compare it with what became of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class SentReceipt:
    """A receipt; times are POSIX seconds.

    Attributes:
        smpp_msgid: the message's id, as it is written in receipts.
        stat: the message's state.
        err: the operator's error code.
        command: ``deliver_sm`` or ``data_sm``.
        parameters: whether id and state are parameters of the PDU, not its text alone.
        done_date: as written; empty in a data_sm, which has none.
        sent_at: when it was sent for the first time; None while it waits.
        acknowledged_at: when the other end took it; None while it did not.
        attempts: how often it was sent.
        bind: in which bind it was acknowledged; see :class:`Submission`.
    """

    smpp_msgid: str
    stat: str
    err: str
    command: str
    parameters: bool = False
    done_date: str = ""
    sent_at: float | None = None
    acknowledged_at: float | None = None
    attempts: int = 0
    bind: int | None = None


@dataclass
class Submission:
    """One submit_sm, and what followed; times are POSIX seconds.

    Attributes:
        bind: the number of the bind that it came in, counted from 1.
        destination: the number that it is for.
        part: 1 for a message of one part, else which part it is.
        parts: how many there are.
        attempt: 0 for the first time that this part was submitted.
        received_at: when it came.
        sender: whom it is from.
        status: what it was answered with; None before that.
        answered_at: when that was.
        smpp_msgid: the message's id, as written in the submit_sm_resp; None when it was refused.
        receipts: those that follow, in order.
    """

    bind: int
    destination: str
    part: int
    parts: int
    attempt: int
    received_at: float
    sender: str = ""
    status: str | None = None
    answered_at: float | None = None
    smpp_msgid: str | None = None
    receipts: list[SentReceipt] = field(default_factory=list)


class Journal:
    """All submissions, in the order in which they came."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self._attempts: dict[tuple[str, int], int] = {}

    def add(self, bind: int, destination: str, part: int, parts: int, at: float) -> Submission:
        """Note a submit_sm that has just come."""
        attempt = self._attempts.get((destination, part), 0)
        self._attempts[destination, part] = attempt + 1
        submission = Submission(bind, destination, part, parts, attempt, at)
        self.submissions.append(submission)
        return submission

    def receipts(self) -> Iterator[SentReceipt]:
        """Yield all receipts."""
        for submission in self.submissions:
            yield from submission.receipts
