"""Columns of a batch as parameters of a statement: one text each, which the server takes apart.

An array costs the client a call and two type checks for every element; joining texts costs it next
to nothing. The statement has ``string_to_array($n, E'\\x1f', E'\\x1e')``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# Control characters of ASCII for this very purpose: unit and record separator.
SEPARATOR: Final = "\x1f"
NULL: Final = "\x1e"


class NotStorable(ValueError):
    """A value has a character in it that separates values."""


def column(values: Sequence[str | None]) -> str:
    """Join the values of one column; one that is empty becomes NULL, as None does.

    Raises:
        NotStorable: one of them is at fault, and has to be found.
    """
    text = SEPARATOR.join([value or NULL for value in values])
    nulls = 0 if all(values) else sum(not value for value in values)
    if text.count(SEPARATOR) != len(values) - 1 or text.count(NULL) != nulls:
        raise NotStorable("a value contains U+001E or U+001F, which separate values")
    return text
