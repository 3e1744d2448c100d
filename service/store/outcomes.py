"""What became of an event."""

from __future__ import annotations

from enum import StrEnum


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
