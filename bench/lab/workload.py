"""What is published and what must come of it: a pure description that its seed repeats.

Everything about a message follows from its number, so that millions of them take no memory.
"""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from service.broker.topology import BILL, DLR, Source

CURRENCY: Final = "EUR"
OPENING_BALANCE: Final = Decimal(1000)
CONNECTOR: Final = "smsc1"

# Out of a hundred receipts; all final, so that the state of a CDR does not depend on any order.
_FATES: Final = ["DELIVRD"] * 90 + ["UNDELIV"] * 6 + ["EXPIRED"] * 3 + ["REJECTD"]
_PRICES: Final = [Decimal(text) for text in ("0.0065", "0.01", "0.0125", "0.021", "0.3")]
_FIRST_OPERATOR_ID: Final = 0x6B0408000000
_FIRST_SUBMIT: Final = 1_767_225_600  # 2026-01-01
_SUBMITS_A_SECOND: Final = 200
# How far a receipt is behind the answer to its submission, in messages.
_RECEIPT_LAG: Final = 5000


class Kind(StrEnum):
    """What is published.

    JSON: receipts of the JSON contract. NATIVE: receipts as a stock Jasmin publishes them, whose
    operator ids are linked already. ANSWERS: a stock Jasmin's dlr.submit_sm_resp and, some
    thousand messages later, the receipt that needs it. BILL: the JSON contract's charges.
    """

    JSON = "json"
    NATIVE = "native"
    ANSWERS = "answers"
    BILL = "bill"


class Sms(NamedTuple):
    """One message.

    Attributes:
        number: from 0.
        message_id: the CDR's key, a UUID.
        operator_id: as Jasmin writes it, upper case.
        account: number of its account, from 0.
        price: what it cost.
        fate: what its receipt says.
        is_refused: whether the operator refused its submission; its charge then says so.
        submitted_at: POSIX time in seconds.
    """

    number: int
    message_id: str
    operator_id: str
    account: int
    price: Decimal
    fate: str
    is_refused: bool
    submitted_at: int

    @property
    def done_at(self) -> int:
        """When it was delivered, or failed: POSIX time in seconds."""
        return self.submitted_at + 5


class Tables(NamedTuple):
    """What the tables hold before a run; runs with the same ones share them.

    Attributes:
        cdrs: rows of ``sms_cdr``.
        accounts: rows of ``accounts``, each with its balance.
        seed: that the ids are made from.
        is_answered: whether submissions have been answered: the CDRs are ``submitted`` and every
            operator's id is linked.
        fillfactor: of ``sms_cdr``, in percent; None for what the migrations set.
    """

    cdrs: int
    accounts: int
    seed: int
    is_answered: bool
    fillfactor: int | None = None


class Step(NamedTuple):
    """One event: the message, and which of its events, ``answer``, ``receipt`` or ``bill``."""

    what: str
    sms: Sms


@dataclass(frozen=True)
class Workload:
    """Events in random order over CDRs, each of which gets one receipt, or one charge, at most.

    Attributes:
        kind: what is published.
        events: how many; two for each message of kind ``answers``.
        cdrs: rows of ``sms_cdr``.
        accounts: that the CDRs are of.
        refunds: the share of charges that say that the operator refused the submission.
        seed: repeats all of it.
        fillfactor: of ``sms_cdr``, in percent; None for what the migrations set.
    """

    kind: Kind = Kind.JSON
    events: int = 300_000
    cdrs: int = 1_000_000
    accounts: int = 1000
    refunds: float = 0.05
    seed: int = 1
    fillfactor: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be."""
        if self.kind is Kind.ANSWERS and self.events % 2:
            raise ValueError("events: kind answers has two for each message; give an even number")
        if not 0 < self.messages <= self.cdrs:
            raise ValueError(
                f"events: {self.events:,} are of {self.messages:,} messages, but there are "
                f"{self.cdrs:,} CDRs, each of which gets one at most; give fewer, or more cdrs"
            )

    @property
    def messages(self) -> int:
        """How many messages something is published of."""
        return self.events // 2 if self.kind is Kind.ANSWERS else self.events

    @property
    def source(self) -> Source:
        """The queue of its events."""
        return BILL if self.kind is Kind.BILL else DLR

    @property
    def stream(self) -> str:
        """The service's name of the queue's stream: ``dlr`` or ``bill``."""
        return "bill" if self.kind is Kind.BILL else "dlr"

    @property
    def tables(self) -> Tables:
        """What the tables hold before."""
        is_answered = self.kind is Kind.NATIVE
        return Tables(self.cdrs, self.accounts, self.seed, is_answered, self.fillfactor)

    def describe(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)

    @cached_property
    def numbers(self) -> list[int]:
        """The numbers of the messages that something is published of, in random order."""
        return random.Random(self.seed).sample(range(self.cdrs), self.messages)  # noqa: S311

    def sms(self, number: int) -> Sms:
        """Return a message by its number."""
        return make_sms(self.tables, number, self.refunds)

    def first(self, events: int) -> "Workload":
        """Return the one that ends after so many of its events. Raises ValueError for none."""
        part = replace(self, events=events)
        vars(part)["numbers"] = self.numbers[: part.messages]  # a smaller sample has others
        return part

    def steps(self) -> Iterator[Step]:
        """Yield all events in the order in which they are published."""
        if self.kind is not Kind.ANSWERS:
            what = "bill" if self.kind is Kind.BILL else "receipt"
            for number in self.numbers:
                yield Step(what, self.sms(number))
            return
        for at in range(self.messages + _RECEIPT_LAG):
            if at < self.messages:
                yield Step("answer", self.sms(self.numbers[at]))
            if 0 <= at - _RECEIPT_LAG < self.messages:
                yield Step("receipt", self.sms(self.numbers[at - _RECEIPT_LAG]))


def make_sms(tables: Tables, number: int, refunds: float = 0.0) -> Sms:
    """Return the message of a CDR."""
    digest = _digest(tables.seed, f"message {number}")
    lot = int.from_bytes(digest[12:])
    return Sms(
        number=number,
        message_id=_uuid(digest),
        operator_id=f"{_FIRST_OPERATOR_ID + number:X}",
        account=number % tables.accounts,
        price=_PRICES[lot % len(_PRICES)],
        fate=_FATES[lot // len(_PRICES) % 100],
        is_refused=lot % 9973 < refunds * 9973,
        submitted_at=_FIRST_SUBMIT + number // _SUBMITS_A_SECOND,
    )


@lru_cache(maxsize=100_000)
def account_id(seed: int, account: int) -> str:
    """Return an account's UUID."""
    return _uuid(_digest(seed, f"account {account}"))


@lru_cache(maxsize=200_000)
def date(seconds: int, form: str) -> str:
    """Write a POSIX time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def _digest(seed: int, text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16, key=str(seed).encode()).digest()


def _uuid(digest: bytes) -> str:
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
