"""Other ways to write an operator's message id, and those near it."""

from __future__ import annotations

import re
from typing import Final

_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_HEXADECIMAL: Final = re.compile(r"[0-9A-F]+", re.ASCII)
_LONGEST_NUMERIC_ID: Final = 32


def other_forms(given: str) -> tuple[str, ...]:
    """Return the other spellings of an operator's id, read as hexadecimal and as decimal.

    Some operators answer a submission with one base and send receipts with the other; Jasmin
    converts only where its connector's ``dlr_msgid`` says so.
    """
    if len(given) > _LONGEST_NUMERIC_ID:
        return ()
    forms = []
    if _HEXADECIMAL.fullmatch(given):
        forms.append(str(int(given, 16)))
    if _DIGITS.fullmatch(given):
        forms.append(f"{int(given):X}")
    return tuple(form for form in forms if form != given)


def following_ids(given: str, distance: int) -> tuple[str, ...]:
    """Return the ids that many after ``given``, counted in hexadecimal and in decimal."""
    if len(given) > _LONGEST_NUMERIC_ID:
        return ()
    forms = []
    if _HEXADECIMAL.fullmatch(given):
        forms.append(f"{int(given, 16) + distance:X}")
    if _DIGITS.fullmatch(given):
        forms.append(str(int(given) + distance))
    return tuple(dict.fromkeys(forms))
