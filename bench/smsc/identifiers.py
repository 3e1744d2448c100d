"""The ids that an operator gives to messages, and the ways in which they are written."""

from enum import Enum, auto
from typing import Final

_WIDTH: Final = 16


class Spelling(Enum):
    """How an id is written in the submit_sm_resp, and in the receipts."""

    SAME = auto()
    ZEROS_IN_RECEIPT = auto()
    ZEROS_IN_ANSWER = auto()
    DECIMAL_IN_RECEIPT = auto()
    DECIMAL_IN_ANSWER = auto()


def spell(number: int, spelling: Spelling) -> tuple[str, str]:
    """Return an id as the submit_sm_resp has it, and as the receipts do."""
    given = f"{number:X}"
    match spelling:
        case Spelling.SAME:
            return given, given
        case Spelling.ZEROS_IN_RECEIPT:
            return given.lower(), given.zfill(_WIDTH)
        case Spelling.ZEROS_IN_ANSWER:
            return given.zfill(_WIDTH), given
        case Spelling.DECIMAL_IN_RECEIPT:
            return given, str(number)
        case Spelling.DECIMAL_IN_ANSWER:
            return str(number), given
