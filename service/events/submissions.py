"""What a stock Jasmin publishes to its connectors: submissions (``submit.sm.CID``).

The body is a pickled SubmitSM; the header ``submit_sm_bill`` a pickled SubmitSmBill, as in
``jasmin.routing.Bills``, with the user whom it charges. docs/capture.md says what is taken from
them, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from service.events import fields, pdus, pickles
from service.events.message import ROUTING_KEY, Content
from service.events.records import Refused, Submission
from service.events.stand_ins import Object

_PREFIX: Final = "submit.sm."


class _Bill(NamedTuple):
    """What Jasmin charges a user for each part: when it takes it, and when the operator does."""

    bid: str
    uid: str
    submit_sm: Decimal
    submit_sm_resp: Decimal


def submissions(
    messages: Sequence[Content], zone: ZoneInfo, *, keep_text: bool
) -> list[Submission]:
    """Decode ``submit.sm.CID`` of a stock Jasmin.

    Args:
        messages: as they were published.
        zone: that of Jasmin's host, whose times carry none.
        keep_text: whether what they say is wanted.

    Raises:
        Refused: of one of them a pickle is not Jasmin's, or lacks what a CDR needs.
    """
    return [_submission(message, zone, keep_text=keep_text) for message in messages]


def _submission(message: Content, zone: ZoneInfo, *, keep_text: bool) -> Submission:
    chain = pdus.parts(pickles.load(message.body))
    bill = _bill(message.headers)
    charged, price = _amounts(bill, len(chain), message.headers.get("source_connector"))
    return Submission(
        message_id=_identifier("property message-id", message.message_id),
        uid=bill and bill.uid,
        bid=bill and bill.bid,
        sender=pdus.address(chain[0], "source_addr") or None,
        msisdn=fields.identifier(
            "its destination_addr", pdus.address(chain[0], "destination_addr")
        ),
        connector_id=_connector(message),
        parts=len(chain),
        price=price,
        charged=charged,
        submit_at=_created_at(message.headers.get("created_at"), zone),
        text=pdus.text(chain) if keep_text else None,
    )


def _amounts(
    bill: _Bill | None, parts: int, source: object
) -> tuple[Decimal | None, Decimal | None]:
    """Return what is charged at once, and what the message costs once the operator takes it.

    Through the HTTP API Jasmin charges all parts of a message at once; through its SMPP server it
    charges each PDU that it is given. The operator's answers are charged for each part.
    """
    if bill is None:
        return None, None
    charged = bill.submit_sm * (parts if source == "httpapi" else 1)
    price = charged + bill.submit_sm_resp * parts
    if price >= fields.AMOUNT_LIMIT:
        raise Refused("its price is out of range")
    return charged, price


def _bill(headers: dict[str, object]) -> _Bill | None:
    """Return the bill of a submission; Jasmin sends none where its billing is switched off."""
    pickled = headers.get("submit_sm_bill")
    if pickled is None:
        return None
    if isinstance(pickled, str):  # octets that happen to be text
        pickled = pickled.encode()
    if not isinstance(pickled, bytes | bytearray):
        raise Refused("header submit_sm_bill is no pickle")
    bill = pickles.load(bytes(pickled))
    if not isinstance(bill, Object) or bill.kind.name != "SubmitSmBill":
        raise Refused("header submit_sm_bill is no SubmitSmBill")
    user, amounts = bill.state.get("user"), bill.state.get("amounts")
    if not isinstance(user, Object) or not isinstance(amounts, dict):
        raise Refused("its bill has no user, or no amounts")
    return _Bill(
        _identifier("its bill id", bill.state.get("bid")),
        _identifier("its bill's uid", user.state.get("uid")),
        _amount(amounts.get("submit_sm")),
        _amount(amounts.get("submit_sm_resp")),
    )


def _amount(value: object) -> Decimal:
    """Return an amount as Jasmin would write it: the shortest decimal that is this number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("its bill has an amount that is no number")
    return fields.amount(repr(value))


def _identifier(name: str, value: object) -> str:
    if isinstance(value, int):
        value = str(value)
    if not isinstance(value, str):
        raise Refused(f"{name} is missing")
    if not value.isprintable():
        raise Refused(f"{name} contains a control character")
    return fields.identifier(name, value)


def _connector(message: Content) -> str | None:
    """Return the connector, which only the routing key names; a replay carries it in a header."""
    for key in (message.routing_key, message.headers.get(ROUTING_KEY)):
        if isinstance(key, str) and key.startswith(_PREFIX):
            return _identifier("the routing key", key.removeprefix(_PREFIX))
    return None


def _created_at(text: object, zone: ZoneInfo) -> datetime | None:
    """Return when Jasmin published it; None where that cannot be read."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
