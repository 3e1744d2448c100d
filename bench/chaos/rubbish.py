"""What nobody can settle: one of each way to be wrong, known again by its AMQP message id."""

import json
import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

LONGEST_BODY: Final = 65_536  # the service's default

Stream = Literal["dlr", "bill"]


class Rubbish(NamedTuple):
    """One message; ``what`` says what is wrong with it."""

    message_id: str
    stream: Stream
    what: str
    body: bytes
    headers: Mapping[str, Any] = MappingProxyType({})


_DLR: Final = {"message_id": "rubbish", "status": "DELIVRD", "pdu_type": "deliver_sm"}
_BILL: Final = {
    "bid": "rubbish",
    "user": {"uid": "acct-050", "username": "rubbish"},
    "amounts": {"submit_sm_resp": 0.01},
    "message_id": "rubbish",
    "connector_id": "smsc1",
    "status": "ESME_ROK",
}


def _json(base: Mapping[str, Any], **changed: Any) -> bytes:
    return json.dumps({**base, **changed}).encode()


def _native(**headers: Any) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


_WAYS: Final[tuple[tuple[Stream, str, bytes, Mapping[str, Any]], ...]] = (
    ("dlr", "cut off", b'{"message_id": "cut of', {}),
    ("dlr", "no format", b"who am I?", {}),
    ("dlr", "an array", b"[1, 2, 3]", {}),
    ("dlr", "empty", b"", {}),
    ("dlr", "not UTF-8", b'{"message_id": "\xff\xfe", "status": "DELIVRD"}', {}),
    ("dlr", "a number for an id", _json(_DLR, message_id=7), {}),
    ("dlr", "no status", _json({"message_id": "rubbish"}), {}),
    ("dlr", "an empty id", _json(_DLR, message_id=""), {}),
    ("dlr", "unknown pdu_type", _json(_DLR, pdu_type="query_sm"), {}),
    ("dlr", "an escaped NUL", _json(_DLR, message_id="a\0b"), {}),
    ("dlr", "a NUL", b'{"message_id": "a\0b", "status": "DELIVRD"}', {}),
    ("dlr", "nested too deeply", b'{"dlr_details": ' + b"[" * 20_000, {}),
    ("dlr", "huge", _json(_DLR, padding="x" * LONGEST_BODY), {}),
    ("dlr", "native of unknown type", b"DELIVRD", {"type": "query_sm"}),
    ("dlr", "native with a NUL", b"DELIV\0RD", {"type": "deliver_sm", "dlr_id": "1"}),
    ("bill", "cut off", b'{"bid": "cut of', {}),
    ("bill", "a negative amount", _json(_BILL, amounts={"submit_sm_resp": -0.01}), {}),
    ("bill", "no amount", _json(_BILL, amounts={}), {}),
    ("bill", "an amount of NaN", _json(_BILL, amounts={"submit_sm_resp": float("nan")}), {}),
    ("bill", "an amount in words", _json(_BILL, amounts={"submit_sm_resp": "a lot"}), {}),
    ("bill", "an amount beyond money", _json(_BILL, amounts={"submit_sm_resp": 1e300}), {}),
    ("bill", "no account", _json(_BILL, user={}), {}),
    ("bill", "no command status", _json(_BILL, status="DELIVRD"), {}),
    ("bill", "native, in words", b"rubbish", _native(user_id="acct-050", amount="a lot")),
    ("bill", "native, negative", b"rubbish", _native(user_id="acct-050", amount="-1")),
    ("bill", "native, nobody's", b"rubbish", _native(user_id=" ", amount="0.01")),
)


def make(number: int, dice: random.Random) -> Rubbish:
    """Return the rubbish of that number, in a way that the dice choose."""
    stream, what, body, headers = dice.choice(_WAYS)
    return Rubbish(f"rubbish-{number}", stream, what, body, headers)
