"""What became of an event."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """The effect of one event on the database.

    APPLIED: it moved a CDR or recorded a charge.
    UNCHANGED: what it says was known already, or something better was (a duplicate, a late one).
    CONFLICT: a failure after the message had been delivered; ignored.
    PARKED: its CDR, link or account is not there yet.
    PART: a receipt for a part of a long message other than the one that Jasmin names.
    """

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    CONFLICT = "conflict"
    PARKED = "parked"
    PART = "part"


class Effects(NamedTuple):
    """What applying events came to.

    Attributes:
        outcomes: one for each event, in their order.
        moved: how many refunds, reversals and debits were booked, as :mod:`service.store.money`
            names them.
    """

    outcomes: list[Outcome]
    moved: Counter[str]
