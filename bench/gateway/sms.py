"""The messages of a run, and the accounts that they are sent from."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

from bench.smsc.outcomes import OUTCOMES, Outcome, outcome_of

RATE: Final = Decimal("0.10")
"""What a part costs, by Jasmin's route."""
EARLY_PERCENT: Final = 30
"""How much of it Jasmin takes at once; the rest is what it publishes a bill for."""
BILL: Final = RATE * (100 - EARLY_PERCENT) / 100

_NAMESPACE: Final = UUID("0d4f0f5e-3a57-4d0f-9d43-5a3f6a1f7c11")
_PLAIN: Final = "00"
_EACH_PART: Final = "60"
_LONG_EVERY: Final = 8
_PART_LENGTH: Final = 150
_PLAIN_SHARE: Final = 0.5


@dataclass(frozen=True)
class Account:
    """A customer of the gateway.

    Attributes:
        uid: its user in Jasmin: id and name.
        password: of that user; SMPP allows 8 characters.
        channel: how it submits, ``http`` or ``smpp``.
    """

    uid: str
    password: str
    channel: str

    @property
    def id(self) -> UUID:
        """The key of its rows."""
        return uuid5(_NAMESPACE, self.uid)


ACCOUNTS: Final = (Account("acme", "s3cret-1", "http"), Account("globex", "s3cret-2", "smpp"))


@dataclass
class Sms:
    """A message.

    Attributes:
        account: who sends it.
        destination: the number, which no other message goes to; its end says what becomes of it.
        parts: how many parts its text takes.
        message_id: Jasmin's, once it has answered.
        submitted_at: when it was handed to Jasmin, and
        accepted_at: when Jasmin had answered; POSIX seconds.
    """

    account: Account
    destination: str
    parts: int = 1
    message_id: str | None = None
    submitted_at: float = 0.0
    accepted_at: float = 0.0

    @property
    def code(self) -> str:
        """The digits that choose the outcome."""
        return self.destination[-2:]

    @property
    def outcome(self) -> Outcome:
        """What the operator does with it."""
        return outcome_of(self.destination)

    @property
    def text(self) -> str:
        """Letters that all alphabets have, as many as the parts need."""
        return "hello" if self.parts == 1 else "x" * (_PART_LENGTH * self.parts)

    @property
    def price(self) -> Decimal:
        """What its account is charged."""
        return RATE * self.parts


class Writer:
    """Makes messages; no two go to the same number."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - no secret
        self._serial = 0

    def write(self, account: Account, code: str, parts: int = 1) -> Sms:
        """Return a message with an outcome."""
        self._serial += 1
        return Sms(account, f"346{self._serial:06d}{code}", parts)

    def again(self, sms: Sms) -> Sms:
        """Return the same message to another number, for one that nothing is known of."""
        return self.write(sms.account, sms.code, sms.parts)

    def mixed(self, count: int) -> Iterator[Sms]:
        """Yield messages with all outcomes, in turn half of the time; the others are plain."""
        codes = sorted(OUTCOMES)
        for number in range(count):
            in_turn = number < len(codes) or self._dice.random() > _PLAIN_SHARE
            code = codes[number % len(codes)] if in_turn else _PLAIN
            account = ACCOUNTS[1] if number % 4 == 3 and code != _EACH_PART else ACCOUNTS[0]
            is_long = account.channel == "http" and (
                code == _EACH_PART or number % _LONG_EVERY == 0
            )
            yield self.write(account, code, self._dice.choice((2, 3)) if is_long else 1)
