"""Who writes the CDRs of a run and takes the money: a gateway, or the service by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bench.chaos.observer import QUEUES
from bench.gateway.expectation import Expected
from bench.gateway.sms import Sms
from bench.gateway.story import Story

TIMEZONE: Final = "Etc/GMT-5"
"""Of Jasmin's host: not UTC, so that a time that is taken for UTC is found out."""

_SUBMISSIONS: Final = "billing_service.submit"


@dataclass(frozen=True)
class Books:
    """What is to be written for a message, and by whom.

    Attributes:
        captures: the service writes CDRs from what Jasmin queues; otherwise the gateway does, once
            Jasmin has accepted a message, and debits its price.
        debits: the service debits what Jasmin charges (charge mode ``debit``).
    """

    captures: bool
    debits: bool

    @property
    def variables(self) -> Mapping[str, str]:
        """The service's settings."""
        capture = {
            "BILLING_CAPTURE_ENABLED": "true",
            "BILLING_CAPTURE_TEXT": "true",
            "BILLING_CAPTURE_TIMEZONE": TIMEZONE,
        }
        mode = {"BILLING_BILL_CHARGE_MODE": "debit" if self.debits else "confirm"}
        return mode | capture if self.captures else mode

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that the service consumes."""
        return (*QUEUES, _SUBMISSIONS) if self.captures else QUEUES

    def has_cdr(self, story: Story) -> bool:
        """Whether there must be a CDR of a message."""
        return story.is_queued if self.captures else story.sms.is_accepted

    def debited(self, sms: Sms) -> Decimal:
        """What is debited for a message by the time that it has its CDR."""
        if not self.captures:
            return sms.price
        return sms.charged if self.debits else Decimal(0)

    def refund(self, sms: Sms, expected: Expected) -> Decimal:
        """What comes back of a message: what it has cost until it failed.

        What is debited by a bill of Jasmin's, which names no message, is not known to be its cost.
        """
        if not expected.is_refunded:
            return Decimal(0)
        is_known = not self.captures or (expected.is_taken and not self.debits)
        return sms.price if is_known else sms.charged
