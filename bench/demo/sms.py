"""Sample messages: to whom, in how many parts, and what becomes of them."""

import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID, uuid4, uuid5


class Account(NamedTuple):
    """A customer: its UUID, which the JSON contract has, and its uid in Jasmin."""

    id: UUID
    uid: str


class Fate(NamedTuple):
    """What the operator answers to each submission, and the receipts that follow."""

    weight: int
    answers: tuple[str, ...]
    receipts: tuple[str, ...] = ()


dice: Final = random.Random()  # noqa: S311 - nothing here is a secret
_NAMESPACE: Final = UUID("5d0c1f5e-9a39-4a7b-8b0e-0d1f2c3b4a59")
ACCOUNTS: Final = tuple(
    Account(uuid5(_NAMESPACE, uid), uid) for uid in ("acme", "globex", "initech")
)
_OK: Final = ("ESME_ROK",)
_FATES: Final = (
    Fate(70, _OK, ("DELIVRD",)),
    Fate(5, _OK, ("ACCEPTD", "DELIVRD")),
    Fate(6, _OK, ("UNDELIV",)),
    Fate(4, _OK, ("EXPIRED",)),
    Fate(3, _OK, ("REJECTD",)),
    Fate(4, _OK),
    Fate(2, _OK, ("DELIVRD", "DELIVRD")),  # some operators say everything twice
    Fate(3, ("ESME_RTHROTTLED", "ESME_RTHROTTLED", "ESME_ROK"), ("DELIVRD",)),
    Fate(3, ("ESME_RINVDSTADR",)),
)
_WEIGHTS: Final = [fate.weight for fate in _FATES]
_CONNECTORS: Final = ("smsc1", "smsc2")
# An SMSC counts its ids on. Milliseconds outrun any demonstration: no run takes those of another.
_operator_numbers: Final = itertools.count(time.time_ns() // 1_000_000 << 4)


@dataclass(frozen=True)
class Sms:
    """One message; ``operator_ids`` has the operator's id of each part, ``price`` is for all."""

    message_id: str
    account: Account
    connector_id: str
    msisdn: str
    sender: str
    price: Decimal
    operator_ids: tuple[str, ...]
    native: bool
    fate: Fate


def samples() -> Iterator[Sms]:
    """Yield messages without end, native ones and ones of the JSON contract in turn."""
    for number in itertools.count():
        parts = dice.choices((1, 2, 3), (92, 6, 2))[0]
        yield Sms(
            message_id=str(uuid4()),
            account=dice.choice(ACCOUNTS),
            connector_id=dice.choice(_CONNECTORS),
            msisdn=f"+3460{dice.randrange(10_000_000):07}",
            sender="Billing",
            price=parts * dice.choice((Decimal("0.01"), Decimal("0.025"), Decimal("0.0375"))),
            operator_ids=tuple(f"{next(_operator_numbers):X}" for _ in range(parts)),
            native=number % 2 == 0,
            fate=dice.choices(_FATES, _WEIGHTS)[0],
        )
