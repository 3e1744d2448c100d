"""What a CDR must show, by what was asked for and by what Jasmin published of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bench.chaos.model import DELIVERED, FINAL, RETRIED, meaning
from bench.gateway.sms import Sms
from bench.gateway.story import Story
from bench.gateway.tap import Publication

REFUNDED_RECEIPTS: Final = {"REJECTD"}
"""The service is run with ``refund.receipts = ["rejected"]``."""

_DATES: Final = {10: "%y%m%d%H%M", 12: "%y%m%d%H%M%S"}

# What each outcome of bench/smsc/outcomes.py must come to.
_SUBMITTED: Final = {"08"}
_FAILED: Final = {"03", "04", "05", "16", "20", "21", "22", "32", "33", "43", "52"}
_EXPIRED: Final = {"02", "53"}
_REJECTED: Final = {"06"}


@dataclass(frozen=True)
class Expected:
    """What a CDR must show; of what two events of the same rank say, either will do.

    Attributes:
        status: the one.
        smpp_msgids: any of these.
        error_codes: any of these.
        delivery_ats: any of these.
        is_refunded: whether what it has cost must be given back.
        is_taken: whether the operator has taken it, so that it has cost all of its price.
    """

    status: str
    smpp_msgids: Collection[str | None]
    error_codes: Collection[str | None]
    delivery_ats: Collection[datetime | None]
    is_refunded: bool
    is_taken: bool


def asked_for(sms: Sms) -> str:
    """Return the status that a message comes to when nothing is lost."""
    return "queued" if sms.is_dropped else outcome_status(sms.code)


def outcome_status(code: str) -> str:
    """Return the status that the outcome of a number comes to."""
    for status, codes in (
        ("submitted", _SUBMITTED),
        ("failed", _FAILED),
        ("expired", _EXPIRED),
        ("rejected", _REJECTED),
    ):
        if code in codes:
            return status
    return "delivered"


def published(story: Story) -> Expected:
    """Return what the events that Jasmin published, and that can be joined, come to."""
    events = [*story.answers, *story.linked]
    if not events:
        return Expected("queued", {None}, {None}, {None}, is_refunded=False, is_taken=False)
    best = max(meaning(event.text)[0] for event in events)
    winners = [event for event in events if meaning(event.text)[0] == best]
    refused = best == RETRIED or (
        best != DELIVERED and any(meaning(answer.text)[0] == FINAL for answer in story.answers)
    )
    return Expected(
        status=meaning(winners[0].text)[1],
        smpp_msgids={_smpp_msgid(event) for event in events} - {None} or {None},
        error_codes={_error_code(event) for event in winners},
        delivery_ats={_done_at(event) for event in winners},
        is_refunded=refused or winners[0].text in REFUNDED_RECEIPTS,
        is_taken=bool(story.links),
    )


def _smpp_msgid(event: Publication) -> str | None:
    """The operator's id, which a receipt has in place of Jasmin's."""
    if event.headers["type"] == "submit_sm_resp":
        return event.headers.get("smpp_msgid")
    return event.message_id


def _error_code(event: Publication) -> str | None:
    if event.headers["type"] == "submit_sm_resp":
        return None if event.text == "ESME_ROK" else event.text
    return str(event.headers["dlr_err"])


def _done_at(event: Publication) -> datetime | None:
    text = event.headers.get("dlr_ddate", "")
    try:
        return datetime.strptime(text, _DATES[len(text)]).replace(tzinfo=UTC)
    except (KeyError, ValueError):
        return None
