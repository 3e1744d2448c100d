"""What Jasmin publishes about a message: its native format, and the JSON contract."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import uuid4

from aio_pika import DeliveryMode, Message

from bench.demo.sms import Sms, dice

ERROR_CODES: Final = {"DELIVRD": "000", "ACCEPTD": "000", "UNDELIV": "001", "EXPIRED": "027"}


class Publication(NamedTuple):
    """A message and where it goes; ``stream`` is the service's name for the queue it ends in."""

    stream: str
    routing_key: str
    message: Message


def answer(sms: Sms, status: str) -> Publication:
    """The operator's answer to one submission; of a long message it names the last part."""
    # Only a submission that the operator took has an id there.
    link = {"smpp_msgid": sms.operator_ids[-1]} if status == "ESME_ROK" else {}
    if sms.native:
        message = _message(status, sms.message_id, {"type": "submit_sm_resp", **link})
    else:
        contract = {"message_id": sms.message_id, "status": status, "pdu_type": "submit_sm_resp"}
        message = _message(json.dumps(contract | link))
    return Publication("dlr", "dlr.submit_sm_resp", message)


def bill(sms: Sms, status: str) -> Publication | None:
    """The charge for all parts. A stock Jasmin publishes none for what the operator refused."""
    bid = str(uuid4())
    if not sms.native:
        contract = {
            "bid": bid,
            "user": {"uid": str(sms.account.id), "username": sms.account.uid},
            "amounts": {"submit_sm_resp": float(sms.price)},  # few digits: written as they are
            "message_id": sms.message_id,
            "connector_id": sms.connector_id,
            "status": status,
        }
        message = _message(json.dumps(contract))
    elif status == "ESME_ROK":
        headers = {"user-id": sms.account.uid, "amount": str(sms.price)}
        message = _message(bid, bid, headers)
    else:
        return None
    return Publication("bill", f"bill_request.submit_sm_resp.{sms.account.uid}", message)


def receipt(sms: Sms, operator_id: str, status: str) -> Publication:
    """A delivery receipt for one part."""
    minute = datetime.now(UTC).strftime("%y%m%d%H%M")
    details = {
        "id": operator_id.lower(),
        "sub": "001",
        "dlvrd": "001" if status == "DELIVRD" else "000",
        "submit_date": minute,
        "done_date": minute,
        "stat": status,
        "err": ERROR_CODES.get(status, "099"),
        "text": "sample",
    }
    if sms.native:
        details["sdate"], details["ddate"] = details.pop("submit_date"), details.pop("done_date")
        headers = {f"dlr_{name}": text for name, text in details.items()}
        headers |= {"type": "deliver_sm", "cid": sms.connector_id}
        message = _message(status, operator_id, headers)
    else:
        contract = {
            "message_id": sms.message_id,
            "status": status,
            "pdu_type": "deliver_sm",
            "smpp_msgid": operator_id,
            "dlr_details": details,
        }
        message = _message(json.dumps(contract))
    return Publication("dlr", "dlr.deliver_sm", message)


def rubbish() -> Publication:
    """Something that nobody can settle, for the dead queues."""
    return dice.choice(
        (
            Publication("dlr", "dlr.deliver_sm", _message('{"message_id": "cut of')),
            Publication("dlr", "dlr.deliver_sm", _message("who am I?")),
            Publication(
                "bill",
                "bill_request.submit_sm_resp.acme",
                _message("no-number", "no-number", {"user-id": "acme", "amount": "a lot"}),
            ),
        )
    )


def _message(
    body: str, message_id: str | None = None, headers: Mapping[str, Any] | None = None
) -> Message:
    """Make a transient message, as Jasmin's are, with the time (ms) from which its age counts."""
    return Message(
        body.encode(),
        message_id=message_id,
        delivery_mode=DeliveryMode.NOT_PERSISTENT,
        headers={**(headers or {}), "timestamp_in_ms": time.time_ns() // 1_000_000},
    )
