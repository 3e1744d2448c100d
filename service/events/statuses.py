"""What a status means for a CDR: the rank table.

A CDR's status only moves up in rank, so the order in which workers see events cannot change
where it ends. Receipt states are those of SMPP 3.4 appendix B and section 5.2.28; command
statuses those of section 5.1.3 as Jasmin spells them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

QUEUED: Final = 0
RETRIED: Final = 1
SUBMITTED: Final = 2
PENDING: Final = 3
WEAK_FAILURE: Final = 4
FAILED: Final = 5
DELIVERED: Final = 6


class Status(NamedTuple):
    """One step of a message's life.

    Attributes:
        text: as the operator or Jasmin said it, in upper case.
        cdr_status: what the CDR shows.
        rank: 0 to 6; a CDR takes a status only of a higher rank than its own.
        known: False for a text that no table has.
    """

    text: str
    cdr_status: str
    rank: int
    known: bool = True

    @property
    def is_command_status(self) -> bool:
        """Whether it is an answer to a submission, rather than a receipt's state."""
        return self.text.startswith(_COMMAND_STATUSES)


# How they begin. What SMPP has no name for, as operators' own errors from 0x400 on, Jasmin calls
# RESERVEDSTATUS_VENDOR_SPECIFIC and the like (smpp.pdu's CommandStatus).
_COMMAND_STATUSES: Final = ("ESME_", "RESERVEDSTATUS")

# Of a submission that Jasmin has given to a connector, and the operator not answered yet.
CAPTURED: Final = Status("SUBMIT_SM", "queued", QUEUED)

_STATES: Final = {
    "DELIVRD": ("delivered", DELIVERED),
    "EXPIRED": ("expired", FAILED),
    "REJECTD": ("rejected", FAILED),
    "UNDELIV": ("failed", FAILED),
    "DELETED": ("failed", FAILED),
    "UNKNOWN": ("failed", WEAK_FAILURE),
    "ACCEPTD": ("pending", PENDING),
    "ENROUTE": ("pending", PENDING),
    "SCHEDULED": ("pending", PENDING),
}

# Operators also send the full words, cut off anywhere.
_FULL_WORDS: Final = {
    "DELIVERED": "DELIVRD",
    "REJECTED": "REJECTD",
    "UNDELIVERABLE": "UNDELIV",
    "UNDELIVERED": "UNDELIV",
    "ACCEPTED": "ACCEPTD",
}
_SHORTEST_TRUNCATION: Final = 5

# Jasmin submits again after these (its connectors' submit_error_retrial).
RETRIED_ERRORS: Final = frozenset(
    {"ESME_RTHROTTLED", "ESME_RMSGQFUL", "ESME_RSYSERR", "ESME_RINVSCHED"}
)


def _table() -> dict[str, Status]:
    words = {word: word for word in _STATES} | _FULL_WORDS
    table = {
        word[:length]: Status(state, *_STATES[state])
        for word, state in words.items()
        for length in range(_SHORTEST_TRUNCATION, len(word) + 1)
    }
    table["ESME_ROK"] = Status("ESME_ROK", "submitted", SUBMITTED)
    table |= {error: Status(error, "failed", RETRIED) for error in RETRIED_ERRORS}
    return table


_TABLE: Final = _table()


@lru_cache(maxsize=4096)  # there are a few dozen, unless somebody makes them up
def status_of(text: str) -> Status:
    """Return what ``text`` means, in any case, tolerating truncation.

    Any other command status is a final failure; any other text leaves the message pending.
    """
    word = text.strip().upper()
    if word in _TABLE:
        return _TABLE[word]
    if word.startswith(_COMMAND_STATUSES):
        return Status(word, "failed", FAILED)
    return Status(word, "pending", PENDING, known=False)
