"""Single values from the wire: ids, amounts, dates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from service.events.records import Refused

AMOUNT_LIMIT: Final = Decimal("999999999999.9999995")  # rounds to more than numeric(18,6) holds
AMOUNT_DECIMALS: Final = 30
LONGEST_ID: Final = 255
# PostgreSQL stores no NUL, and the others separate values on their way there.
UNSTORABLE: Final = {"\0": "a NUL character", "\x1e": "U+001E", "\x1f": "U+001F"}
# What PostgreSQL's numeric holds before and after the point.
NUMBER_DIGITS: Final = 131_072
NUMBER_DECIMALS: Final = 16_383
_LONG_NUMBER: Final = re.compile(
    # Looked for once in each run of digits, not again at every digit of it.
    rb"[0-9][eE][+-]?[0-9]{4}|(?<![0-9.])[0-9.]{15000}"
)
_AMOUNT: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?", re.ASCII)

# The last one is told apart from the second by what is no month in it.
_DATE_FORMATS: Final = {
    10: ("%y%m%d%H%M",),
    12: ("%y%m%d%H%M%S", "%Y%m%d%H%M"),
    14: ("%Y%m%d%H%M%S",),
    19: ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"),
}


def amount(text: str) -> Decimal:
    """Return a charge exactly as written: ``0.01``, ``1e-05``, ``0.30000000000000004``.

    Raises:
        Refused: it is no decimal number, negative, or beyond what money can be.
    """
    if not _AMOUNT.fullmatch(text):
        raise Refused(f"amount is no number: {text[:40]!r}")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Refused(f"amount is no number: {text[:40]!r}") from None
    if value < 0:
        raise Refused(f"amount is negative: {text[:40]}")
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -AMOUNT_DECIMALS or value >= AMOUNT_LIMIT:
        raise Refused(f"amount is out of range: {text[:40]}")
    return value.copy_abs()  # there is no negative zero in a ledger


def identifier(name: str, text: str) -> str:
    """Return an id, which becomes the key of a row.

    Raises:
        Refused: it is blank, longer than an index takes, or cannot be stored.
    """
    check_storable(name, [text])
    if not text or text.isspace():
        raise Refused(f"{name} is empty")
    if len(text) > LONGEST_ID:
        raise Refused(f"{name} is longer than {LONGEST_ID} characters")
    return text


def identifiers(name: str, texts: Sequence[str]) -> Sequence[str]:
    """Return ids of a batch, once they have been looked at.

    Raises:
        Refused: one of them is blank, longer than an index takes, or cannot be stored.
    """
    check_storable(name, texts)
    if not all(texts) or any(map(str.isspace, texts)) or max(map(len, texts)) > LONGEST_ID:
        for text in texts:
            identifier(name, text)
    return texts


def operator_ids(texts: Iterable[str]) -> list[str]:
    """Normalise operators' message ids as Jasmin does: upper case, no leading zeros.

    Raises:
        Refused: one of them is longer than an index takes, or cannot be stored.
    """
    name = "the operator's message id"
    given = [text.strip().upper().lstrip("0") for text in texts]
    check_storable(name, given)
    if max(map(len, given), default=0) > LONGEST_ID:
        raise Refused(f"{name} is longer than {LONGEST_ID} characters")
    return given


def check_storable(name: str, texts: Iterable[str]) -> None:
    """Look at texts that are to become values of a column.

    Raises:
        Refused: one of them cannot be stored.
    """
    together = "".join(texts)
    for character, called in UNSTORABLE.items():
        if character in together:
            raise Refused(f"{name} contains {called}")


def check_numbers(document: bytes) -> None:
    """Look at the numbers of a JSON document, which PostgreSQL is to keep as jsonb.

    Raises:
        Refused: one of them has more digits than its numbers can.
    """
    if not _LONG_NUMBER.search(document):
        return
    try:
        json.loads(document, parse_int=_check_number, parse_float=_check_number)
    except RecursionError:
        raise Refused("JSON is nested too deeply") from None


def _check_number(text: str) -> None:
    if len(text) < NUMBER_DECIMALS and "e" not in text and "E" not in text:
        return
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Refused("a number is out of range") from None
    exponent = value.as_tuple().exponent
    is_fine = isinstance(exponent, int) and exponent >= -NUMBER_DECIMALS
    if not is_fine or value.adjusted() >= NUMBER_DIGITS:
        raise Refused("a number is out of range")


def done_date(text: str | None, zone: ZoneInfo) -> datetime | None:
    """Return a receipt's done date, which carries no zone, as written in ``zone``.

    Zeros, ``ND`` and anything that is no date give None: a receipt counts without its date.
    """
    text = text.strip() if text else ""
    return _done_date(text, zone) if len(text) in _DATE_FORMATS else None


@lru_cache(maxsize=8192)  # the dates of a minute's receipts are all alike
def _done_date(text: str, zone: ZoneInfo) -> datetime | None:
    for form in _DATE_FORMATS[len(text)]:
        try:
            return datetime.strptime(text, form).replace(tzinfo=zone).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None
