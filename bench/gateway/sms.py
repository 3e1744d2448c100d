"""The messages of a run, and the accounts that they are sent from."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

from bench.smsc.outcomes import OUTCOMES, Outcome, outcome_of

RATE: Final = Decimal("0.10")
"""What a part costs, by Jasmin's route."""
PREFIX: Final = "346"
"""What all numbers begin with."""

_NAMESPACE: Final = UUID("0d4f0f5e-3a57-4d0f-9d43-5a3f6a1f7c11")
_PLAIN: Final = "00"
_EACH_PART: Final = "60"
_LONG_EVERY: Final = 8
_PART_LENGTH: Final = 150
_UNICODE_PART_LENGTH: Final = 65
_PIECE_EVERY: Final = 5
_DROPPED_EVERY: Final = 16
# SMPP has room for 20 digits. Jasmin takes more, and charges for them; later it cannot write the
# submit_sm, and drops the message without a word to anybody.
_WRITABLE_DIGITS: Final = 20
# Whose turn it is, by its place in ACCOUNTS.
_TURNS: Final = (0, 2, 0, 1)
_PLAIN_SHARE: Final = 0.5
_SENDERS: Final = ("34600", "Acme Ltd", None)
_OPTIONS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"priority": "2"},
    {"sdt": "300101120000004+"},
    {"sdt": "000001000000000R"},
    {"coding": "8"},
    {"coding": "8", "priority": "1"},
)


@dataclass(frozen=True)
class Account:
    """A customer of the gateway.

    Attributes:
        uid: its user in Jasmin: id and name.
        password: of that user; SMPP allows 8 characters.
        channel: how it submits, ``http`` or ``smpp``.
        early_percent: how much of the price Jasmin takes at once, and publishes a bill for the
            rest; None for all of it.
    """

    uid: str
    password: str
    channel: str
    early_percent: int | None = 30

    @property
    def id(self) -> UUID:
        """The key of its rows."""
        return uuid5(_NAMESPACE, self.uid)


ACCOUNTS: Final = (
    Account("acme", "s3cret-1", "http"),
    Account("globex", "s3cret-2", "smpp", early_percent=45),
    Account("initech", "s3cret-3", "http", early_percent=None),
)


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
        sender: whom it is from; None for whatever the operator puts there.
        options: what else the HTTP API is asked for, which changes what Jasmin queues.
        is_piece: it is the second part of two that its SMPP client has made itself. To Jasmin it
            is a message of one part.
    """

    account: Account
    destination: str
    parts: int = 1
    message_id: str | None = None
    submitted_at: float = 0.0
    accepted_at: float = 0.0
    sender: str | None = _SENDERS[0]
    options: Mapping[str, str] = field(default_factory=dict)
    is_piece: bool = False

    @property
    def is_accepted(self) -> bool:
        """Whether Jasmin has answered that it will send it."""
        return self.accepted_at > 0

    @property
    def is_dropped(self) -> bool:
        """Whether Jasmin takes it, and then drops it."""
        return len(self.destination) > _WRITABLE_DIGITS

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
        """Letters that its alphabet has, as many as the parts need."""
        if self.is_unicode:
            return "žluť" if self.parts == 1 else "ž" * (_UNICODE_PART_LENGTH * self.parts)
        return "hello" if self.parts == 1 else "x" * (_PART_LENGTH * self.parts)

    @property
    def is_unicode(self) -> bool:
        """Whether it is sent in UCS-2."""
        return self.options.get("coding") == "8"

    @property
    def price(self) -> Decimal:
        """What its account is charged once the operator has taken it."""
        return RATE * self.parts

    @property
    def charged(self) -> Decimal:
        """How much of it Jasmin takes at once, whatever becomes of the message."""
        percent = self.account.early_percent
        return self.price if percent is None else self.price * percent / 100

    @property
    def bill(self) -> Decimal:
        """What Jasmin publishes a bill for, once the operator has taken it."""
        return self.price - self.charged


class Writer:
    """Makes messages; no two go to the same number."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - no secret
        self._serial = 0

    def write(self, account: Account, code: str, parts: int = 1) -> Sms:
        """Return a message with an outcome."""
        self._serial += 1
        return Sms(
            account,
            f"{PREFIX}{self._serial:06d}{code}",
            parts,
            sender=_SENDERS[self._serial % len(_SENDERS)],
            options={} if account.channel == "smpp" else _OPTIONS[self._serial % len(_OPTIONS)],
            is_piece=account.channel == "smpp" and self._serial % _PIECE_EVERY == 0,
        )

    def write_dropped(self) -> Sms:
        """Return a message that never gets to the operator."""
        sms = self.write(ACCOUNTS[0], _PLAIN)
        sms.destination += _PLAIN * (_WRITABLE_DIGITS // len(_PLAIN))
        return sms

    def again(self, sms: Sms) -> Sms:
        """Return the same message to another number, for one that nothing is known of."""
        if sms.is_dropped:
            return self.write_dropped()
        return self.write(sms.account, sms.code, sms.parts)

    def mixed(self, count: int) -> Iterator[Sms]:
        """Yield messages with all outcomes, in turn half of the time; the others are plain."""
        for number in range(count):
            if number % _DROPPED_EVERY == _DROPPED_EVERY - 1:
                yield self.write_dropped()
            else:
                yield self._mixed(number - number // _DROPPED_EVERY)

    def _mixed(self, number: int) -> Sms:
        codes = sorted(OUTCOMES)
        in_turn = number < len(codes) or self._dice.random() > _PLAIN_SHARE
        code = codes[number % len(codes)] if in_turn else _PLAIN
        # Every outcome comes to every account in time.
        turn = (number + number // len(codes)) % len(_TURNS)
        account = ACCOUNTS[0 if code == _EACH_PART else _TURNS[turn]]
        is_long = account.channel == "http" and (code == _EACH_PART or number % _LONG_EVERY == 0)
        return self.write(account, code, self._dice.choice((2, 3)) if is_long else 1)
