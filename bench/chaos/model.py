"""What must be in the database once the events of a plan have been seen, in whatever order.

Written from the specification, apart from the service: a fold over events, one at a time. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple
from uuid import UUID

from bench.chaos.plan import Event, Plan, Sms

_MICRO: Final = Decimal("0.000001")
RETRIED: Final = 1
FINAL: Final = 5
DELIVERED: Final = 6
_RANKS: Final = {
    "ESME_RTHROTTLED": (RETRIED, "failed"),
    "ESME_RMSGQFUL": (RETRIED, "failed"),
    "ESME_RSYSERR": (RETRIED, "failed"),
    "ESME_RINVSCHED": (RETRIED, "failed"),
    "ESME_ROK": (2, "submitted"),
    "UNKNOWN": (4, "failed"),
    "EXPIRED": (FINAL, "expired"),
    "REJECTD": (FINAL, "rejected"),
    "UNDELIV": (FINAL, "failed"),
    "DELETED": (FINAL, "failed"),
    "DELIVRD": (DELIVERED, "delivered"),
}
_PENDING: Final = (3, "pending")
# The run is made with refund.receipts = ["rejected"] and refund.after_delivery = "reverse".
_REFUNDED_RECEIPTS: Final = {"REJECTD"}


class Cdr(NamedTuple):
    """What a CDR must show; ``confirmed`` is the confirmed amount, None while not finalised."""

    status: str
    confirmed: Decimal | None


class Bill(NamedTuple):
    """What must be recorded of a billing event; ``debited`` is None where nothing was taken."""

    account: UUID
    amount: Decimal
    confirmed: bool
    debited: Decimal | None


@dataclass(frozen=True)
class Expectation:
    """What must be there at the end.

    Attributes:
        cdrs: by message id.
        bills: by bill id; what was debited for one is an entry of the ledger.
        refunds: credits less debits of each message that ends with any, by message id.
        balances: by account.
        links: operators' ids that must be linked, with the message they belong to.
        receipts: how many rows of the receipt log at least, by the text that a receipt carries.
        dead: message ids of the messages that must be in a dead queue, and of no others.
    """

    cdrs: Mapping[str, Cdr]
    bills: Mapping[str, Bill]
    refunds: Mapping[str, Decimal]
    balances: Mapping[UUID, Decimal]
    links: frozenset[tuple[str, str]]
    receipts: Mapping[str, int]
    dead: frozenset[str]


@dataclass
class _Message:
    """One message, as far as it has been seen."""

    sms: Sms
    rank: int = 0
    status: str = "queued"
    refused: bool = False
    refused_amount: Decimal | None = None
    confirmed: dict[str, Decimal] = field(default_factory=dict)

    def see(self, event: Event) -> None:
        rank, status = meaning(event.status)
        if rank > self.rank:
            self.rank, self.status = rank, status
        if event.kind == "receipt":
            self.refused |= event.status in _REFUNDED_RECEIPTS
        else:
            self.refused |= rank == FINAL
        if event.kind == "bill" and event.status == "ESME_ROK":
            self.confirmed[event.key] = Decimal(event.amount)
        elif event.kind == "bill":
            self.refused_amount = Decimal(event.amount)

    @property
    def cdr(self) -> Cdr:
        total = sum(self.confirmed.values(), Decimal(0)) if self.confirmed else None
        return Cdr(self.status, None if total is None else _taken(total))

    def refund(self, *, debits: bool) -> Decimal:
        """What is left of the refund; a message that was delivered has none, or not any more."""
        if self.rank == DELIVERED or not (self.refused or self.rank == RETRIED):
            return Decimal(0)
        amount = self._debited if debits else self._charged
        return amount.quantize(_MICRO, ROUND_DOWN)

    @property
    def _charged(self) -> Decimal:
        """What the gateway has taken."""
        amount = self.refused_amount if self.sms.price is None else self.sms.price
        return amount or Decimal(0)

    @property
    def _debited(self) -> Decimal:
        """What the service has taken for it, of which no more than its price is paid back."""
        total = sum(map(_taken, self.confirmed.values()), Decimal(0))
        return min(self.sms.price, total) if self.sms.price else total


def expect(plan: Plan, events: Iterable[Event], *, debits: bool = False) -> Expectation:
    """Return what must be there once ``events`` of a plan have been seen.

    Args:
        plan: has the accounts, the CDRs and the rubbish.
        events: one for each copy that the broker has confirmed.
        debits: the service itself takes what is confirmed, rather than the gateway.
    """
    messages = {sms.message_id: _Message(sms) for sms in plan.messages}
    bills: dict[str, Bill] = {}
    links: set[tuple[str, str]] = set()
    receipts: dict[str, int] = {}
    for event in events:
        if event.kind in {"receipt", "part"}:
            receipts[event.key] = receipts.get(event.key, 0) + 1
        elif event.kind == "bill":
            bills[event.key] = _bill(event, debits=debits)
        elif event.status == "ESME_ROK":
            links.add((event.key, event.sms.message_id))
        if _names_its_message(event):
            messages[event.sms.message_id].see(event)
    refunds = {key: message.refund(debits=debits) for key, message in messages.items()}
    owed = {key: amount for key, amount in refunds.items() if amount}
    balances = {account.id: account.opening for account in plan.accounts}
    for key, amount in owed.items():
        balances[messages[key].sms.account.id] += amount
    for bill in bills.values():
        balances[bill.account] -= bill.debited or 0
    return Expectation(
        cdrs={key: message.cdr for key, message in messages.items()},
        bills=bills,
        refunds=owed,
        balances=balances,
        links=frozenset(links),
        receipts=receipts,
        dead=frozenset(waste.message_id for waste in plan.rubbish),
    )


def _bill(event: Event, *, debits: bool) -> Bill:
    amount, confirmed = Decimal(event.amount), event.status == "ESME_ROK"
    debited = _taken(amount) if debits and confirmed else None
    return Bill(event.sms.account.id, amount, confirmed, debited or None)


def _taken(amount: Decimal) -> Decimal:
    """Return what a balance loses by a charge."""
    return amount.quantize(_MICRO, ROUND_HALF_UP)


def _names_its_message(event: Event) -> bool:
    """Whether an event can be joined to a message: not a native bill, nor a part's receipt."""
    return event.kind != "part" and not (event.kind == "bill" and event.sms.native)


def meaning(status: str) -> tuple[int, str]:
    """Return the rank of a status, and what a CDR shows for it."""
    if status in _RANKS:
        return _RANKS[status]
    return (FINAL, "failed") if status.startswith("ESME_") else _PENDING
