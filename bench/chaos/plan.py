"""What will be published and written: accounts, CDRs, events, duplicates, rubbish. Pure, by seed.

The end of every message is the same whatever order its events are seen in: each has at most one
kind of final failure, and what is answered with a retriable error alone, or first, ends in a
refund, in a final failure that is refunded, or delivered. What a receipt refunds is charged once:
where the service debits, it pays back what it had taken by then.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, NamedTuple
from uuid import UUID

from bench.chaos import rubbish
from bench.chaos.rubbish import Rubbish

ACCOUNTS: Final = 100
RUBBISH_SHARE: Final = 0.01
COPIED: Final = {1: 94, 2: 5, 3: 1}
# Over how many events those of one message are spread, and so reordered against all others.
WINDOW: Final = 2_000
IN_ORDER: Final = 0.7
LATE_CDRS: Final = 0.15
LATE_BALANCES: Final = 5
LATE_ACCOUNTS: Final = 2
LONG: Final = 0.04
OTHER_BASE: Final = 0.05
CHARGED_TWICE: Final = 0.01
UNPRICED: Final = 0.3
ODD: Final = 0.05
# An SMSC numbers the parts of a message in a row. The gap keeps a part from being taken for one of
# a neighbour; the first digit keeps the hexadecimal form of an id from being a decimal number.
FIRST_ID: Final = 0xA0_0000_0000
ID_GAP: Final = 16
RANDOM_BYTES: Final = 16

Kind = Literal["answer", "receipt", "part", "bill"]


class Account(NamedTuple):
    """A customer, and the money that it has before anything happens.

    Attributes:
        topped_up: the opening balance has a ledger entry.
        late: whether the account, or only its balance, appears in the middle of the run.
    """

    id: UUID
    uid: str
    opening: Decimal
    topped_up: bool
    late: Literal["account", "balance"] | None


class Fate(NamedTuple):
    """What the operator says to each submission of a message, and later of its delivery."""

    weight: float
    answers: tuple[str, ...]
    receipts: tuple[str, ...] = ()


class Sms(NamedTuple):
    """One message; ``operator_id`` is the last part's, in the spelling of the operator's answer."""

    row_id: UUID
    message_id: str
    account: Account
    connector_id: str
    parts: int
    price: Decimal | None
    native: bool
    operator_id: str


class Event(NamedTuple):
    """One event, however often it is published.

    Attributes:
        number: its index in the plan.
        kind: an answer to a submission, a receipt, one for an unnamed part, or a billing event.
        sms: whose.
        status: in the specification's spelling.
        text: the same as the operator spells it.
        key: what marks its traces in the database: an operator's id, a text or a bill id.
        amount: of a billing event, as written on the wire.
    """

    number: int
    kind: Kind
    sms: Sms
    status: str
    text: str
    key: str
    amount: str = ""


class AddCdr(NamedTuple):
    """The gateway writes a CDR."""

    sms: Sms


class AddAccount(NamedTuple):
    """The gateway writes an account, with its balance or not yet."""

    account: Account
    balance: bool = True


Step = Event | Rubbish | AddCdr | AddAccount

_OK: Final = ("ESME_ROK",)
FATES: Final = (
    Fate(45, _OK, ("DELIVRD",)),
    Fate(10, _OK, ("ACCEPTD", "DELIVRD")),
    Fate(7, _OK, ("UNDELIV",)),
    Fate(6, _OK, ("EXPIRED",)),
    Fate(5, _OK),
    Fate(4, _OK, ("ENROUTE",)),
    Fate(3, _OK, ("DELETED",)),
    Fate(3, _OK, ("UNKNOWN",)),
    Fate(2, _OK, ("UNKNOWN", "DELIVRD")),
    Fate(2, _OK, ("BUFFERED",)),  # no table has it
    Fate(2, _OK, ("UNDELIV", "DELIVRD")),
    Fate(1, _OK, ("REJECTD", "DELIVRD")),
    Fate(4, ("ESME_RTHROTTLED", "ESME_RTHROTTLED", "ESME_ROK"), ("DELIVRD",)),
    # The 5 % that are refunded.
    Fate(1, _OK, ("REJECTD",)),
    Fate(1, ("ESME_RSYSERR", "ESME_ROK"), ("REJECTD",)),
    Fate(1, ("ESME_RMSGQFUL", "ESME_RMSGQFUL")),
    Fate(1.5, ("ESME_RINVDSTADR",)),
    Fate(0.5, ("ESME_RTHROTTLED", "ESME_RSUBMITFAIL")),
)
_SPELLINGS: Final = {
    "DELIVRD": ("DELIVRD",) * 8 + ("delivrd", "DELIVER"),
    "REJECTD": ("REJECTD",) * 8 + ("rejectd", "REJECTE"),
}
_PRICES: Final = ("0.01", "0.0375", "0.025", "0.000001", "12.345678", "0")
_PRICE_WEIGHTS: Final = (40, 30, 20, 5, 4, 1)
# What a float makes of an amount, and what does not fit a ledger.
_ODD_AMOUNTS: Final = ("0.30000000000000004", "1e-05", "0.0123456789", "1e-07", "2.5E0")


@dataclass(frozen=True)
class Plan:
    """All of a run, in the order in which it is done; an event has a step for each copy."""

    seed: int
    accounts: Sequence[Account]
    messages: Sequence[Sms]
    events: Sequence[Event]
    rubbish: Sequence[Rubbish]
    steps: Sequence[Step]

    @property
    def publications(self) -> int:
        """How many messages the broker is given, copies and rubbish included."""
        return sum(isinstance(step, Event | Rubbish) for step in self.steps)

    def copies(self) -> Counter[int]:
        """Return how often each event is published, by its number."""
        return Counter(step.number for step in self.steps if isinstance(step, Event))


def make_plan(seed: int, events: int, *, with_rubbish: bool = True) -> Plan:
    """Return the plan of a seed; ``events`` counts publications, copies and rubbish included."""
    return _Planner(seed, events, with_rubbish=with_rubbish).plan()


class _Planner:
    def __init__(self, seed: int, size: int, *, with_rubbish: bool) -> None:
        self._seed = seed
        self._size = size
        self._with_rubbish = with_rubbish
        self._dice = random.Random(seed)  # noqa: S311
        self._window = min(WINDOW, max(1, size // 8))
        self._accounts = [self._account(number) for number in range(ACCOUNTS)]
        self._messages: list[Sms] = []
        self._events: list[Event] = []
        self._rubbish: list[Rubbish] = []
        self._steps: list[tuple[float, Step]] = []
        self._numbers = itertools.count()
        self._published = 0

    def plan(self) -> Plan:
        while self._published < self._size - 20:  # no message has more events
            self._add_message()
        while self._published < self._size:
            self._publish(self._published, self._dice.choice(self._events))
        for account in self._accounts:
            at = self._size * self._dice.uniform(0.3, 0.6) if account.late else -1.0
            self._steps.append((at, AddAccount(account)))
            if account.late == "balance":
                self._steps.append((-1.0, AddAccount(account, balance=False)))
        self._steps.sort(key=lambda step: step[0])
        return Plan(
            seed=self._seed,
            accounts=self._accounts,
            messages=self._messages,
            events=self._events,
            rubbish=self._rubbish,
            steps=[step for _, step in self._steps],
        )

    def _account(self, number: int) -> Account:
        late: Literal["account", "balance"] | None = None
        if number < LATE_ACCOUNTS:
            late = "account"
        elif number < LATE_ACCOUNTS + LATE_BALANCES:
            late = "balance"
        return Account(
            id=self._uuid(),
            uid=f"acct-{number:03}",
            opening=Decimal(self._dice.randrange(10**8, 10**10)).scaleb(-6),
            # A balance that appears in the middle of the run is explained by the ledger.
            topped_up=late is not None or number % 2 == 0,
            late=late,
        )

    def _add_message(self) -> None:
        """Add a message with its CDR and events, and rubbish in proportion."""
        start = self._published
        fate = self._dice.choices(FATES, [fate.weight for fate in FATES])[0]
        sms = self._sms(fate)
        self._messages.append(sms)
        late = self._dice.uniform(0, 1.5 * self._window) if self._chance(LATE_CDRS) else -1.0
        self._steps.append((start + late, AddCdr(sms)))
        events = list(self._life(sms, fate))
        times = [self._dice.uniform(0, self._window) for _ in events]
        if self._chance(IN_ORDER):
            times.sort()
        for at, event in zip(times, events, strict=True):
            self._events.append(event)
            for _ in range(self._dice.choices(list(COPIED), list(COPIED.values()))[0]):
                # A copy comes later, or at any time: even before the events it should follow.
                self._publish(start + at, event)
                at = self._dice.uniform(at, self._window)  # noqa: PLW2901
        if self._with_rubbish and len(self._rubbish) < RUBBISH_SHARE * self._published:
            waste = rubbish.make(len(self._rubbish), self._dice)
            self._rubbish.append(waste)
            self._publish(start, waste)

    def _publish(self, at: float, what: Event | Rubbish) -> None:
        self._steps.append((at, what))
        self._published += 1

    def _sms(self, fate: Fate) -> Sms:
        number = len(self._messages)
        native = number % 2 == 0
        parts = self._dice.choice((2, 3)) if native and self._chance(LONG) else 1
        last = FIRST_ID + number * ID_GAP + parts - 1
        price: Decimal | None = Decimal(self._dice.choices(_PRICES, _PRICE_WEIGHTS)[0])
        # Only a billing event knows what to refund then, and only the contract bills a failure.
        if not native and fate.answers == ("ESME_RINVDSTADR",) and self._chance(UNPRICED):
            price = None
        return Sms(
            row_id=self._uuid(),
            message_id=str(self._uuid()),
            account=self._dice.choice(self._accounts),
            connector_id=self._dice.choice(("smsc1", "smsc2")),
            parts=parts,
            price=price,
            native=native,
            operator_id=str(last)
            if native and parts == 1 and self._chance(OTHER_BASE)
            else f"{last:X}",
        )

    def _life(self, sms: Sms, fate: Fate) -> Iterator[Event]:
        for status in fate.answers:
            yield self._event("answer", sms, status, key=sms.operator_id)
        # A stock Jasmin bills nothing that the operator refused.
        if status == "ESME_ROK" or not sms.native:
            yield self._bill(sms, status)
        twice = status == "ESME_ROK" and self._chance(CHARGED_TWICE)
        if twice and "REJECTD" not in fate.receipts:
            yield self._bill(sms, status)
        for status in fate.receipts:
            for part in range(sms.parts - 1):
                yield self._event("part", sms, status, key=self._mark(part))
            yield self._event("receipt", sms, status, key=self._mark())

    def _bill(self, sms: Sms, status: str) -> Event:
        odd = sms.price is None or self._chance(ODD)
        amount = self._dice.choice(_ODD_AMOUNTS) if odd else str(sms.price)
        return self._event("bill", sms, status, key=str(self._uuid()), amount=amount)

    def _event(self, kind: Kind, sms: Sms, status: str, key: str, amount: str = "") -> Event:
        text = self._dice.choice(_SPELLINGS.get(status, (status,)))
        return Event(next(self._numbers), kind, sms, status, text, key, amount)

    def _mark(self, part: int | None = None) -> str:
        """Return a text for a receipt to carry, by which its row in the receipt log is known."""
        suffix = "" if part is None else f"-{part}"
        return f"chaos-{self._dice.getrandbits(64):016x}{suffix}"

    def _chance(self, share: float) -> bool:
        return self._dice.random() < share

    def _uuid(self) -> UUID:
        return UUID(bytes=self._dice.randbytes(RANDOM_BYTES), version=4)
