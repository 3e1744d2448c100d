"""What a message says, once decoded."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

import msgspec

from service.events.operator_ids import other_forms
from service.events.statuses import CAPTURED, SUBMITTED, Status


class Refused(Exception):
    """The message can never be applied; the text says why, for the dead-letter queue."""


class SubmitResult(msgspec.Struct, frozen=True, gc=False):
    """The operator's answer to one submission (SMPP 3.4 section 4.4.2, submit_sm_resp).

    Attributes:
        message_id: Jasmin's message id, the CDR's key.
        status: from the SMPP command status (``ESME_ROK``, ``ESME_*`` or ``RESERVEDSTATUS*``).
        smpp_msgid: the operator's message id, normalised; None when it refused.
    """

    message_id: str
    status: Status
    smpp_msgid: str | None

    done_at: ClassVar[None] = None
    details: ClassVar[None] = None

    @property
    def error_code(self) -> str | None:
        """The command status of a refusal."""
        return None if self.status.rank == SUBMITTED else self.status.text


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """One delivery receipt (SMPP 3.4 section 4.6 deliver_sm or 4.7 data_sm, appendix B).

    Attributes:
        message_id: the CDR's key, or None when only the operator's id is known.
        operator_ids: the operator's message id as given, normalised; empty when ``message_id``
            is known.
        smpp_msgid: the operator's message id as it will be kept with the CDR.
        connector_id: the SMPP connector that it came in on, if said.
        status: from the receipt's ``stat``.
        done_at: its done date, or None when it has none that can be read.
        error_code: its ``err``, alphanumeric and operator specific.
        details: all its details as JSON text, for ``sms_cdr.dlr_payload``.
    """

    message_id: str | None
    operator_ids: tuple[str, ...]
    smpp_msgid: str | None
    connector_id: str | None
    status: Status
    done_at: datetime | None
    error_code: str | None
    details: str | None

    @property
    def guessed_ids(self) -> tuple[str, ...]:
        """The id as given, read in another base, in case the operator mixes them."""
        return tuple(
            form
            for given in self.operator_ids[-1:]
            for form in other_forms(given)
            if form not in self.operator_ids
        )


class BillEvent(msgspec.Struct, frozen=True, gc=False):
    """One charge that Jasmin made (or failed to make) for a submission.

    Attributes:
        bid: the bill id, unique for each charge.
        uid: the account: its UUID (JSON contract) or its Jasmin uid (native).
        amount: what was charged, exact, in the account's currency; never negative.
        message_id: the CDR's key; a native bill does not know it.
        connector_id: the SMPP connector, if said.
        status: a command status, as above; a native bill is only published on success.
    """

    bid: str
    uid: str
    amount: Decimal
    message_id: str | None
    connector_id: str | None
    status: Status


class Submission(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A message that Jasmin has taken and given to a connector: a CDR that is not written yet.

    Attributes:
        message_id: Jasmin's message id, the CDR's key.
        uid: the account's uid in Jasmin, or None where nobody is charged.
        bid: the bill id, likewise.
        sender: the source address, if any.
        msisdn: the destination address.
        connector_id: the SMPP connector, if said.
        parts: how many short messages it is sent as.
        price: what it costs when the operator takes it, exact, in the account's currency; None
            where nobody is charged.
        charged: the share of it that Jasmin charges at once, whatever the operator says.
        submit_at: when Jasmin took it, if said.
        text: what it says, if that is wanted.
    """

    message_id: str
    uid: str | None
    bid: str | None
    sender: str | None
    msisdn: str
    connector_id: str | None
    parts: int
    price: Decimal | None
    charged: Decimal | None
    submit_at: datetime | None
    text: str | None

    status: ClassVar[Status] = CAPTURED


DlrEvent = SubmitResult | Receipt
Event = DlrEvent | BillEvent | Submission
