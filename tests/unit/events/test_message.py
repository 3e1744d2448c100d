from __future__ import annotations

import json

import pytest

from service.events.message import Message, from_json, to_json

from ..samples import captured

MESSAGES = captured("")


def copy(message: Message) -> Message:
    return from_json(to_json(message))


def headed(**headers: object) -> Message:
    return Message("messaging", "dlr.deliver_sm", "X", headers, b"DELIVRD", 1700000000.25)


@pytest.mark.parametrize("message", captured("dlr.") + captured("bill_request."))
def test_what_jasmin_sends_comes_back_as_it_was(message):
    assert copy(message) == message


def test_any_body_comes_back_as_it_was():
    pickled = [message for message in MESSAGES if message.routing_key.startswith("submit.sm")]
    assert pickled
    for body in (
        b"\xff\x00\x80",
        b"",
        "é日".encode(),
        b'{"$base64": "AAAA"}',
        *[m.body for m in pickled],
    ):
        assert copy(Message("e", "k", None, {}, body)).body == body


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"cid": b"\xff\xfe"},
        {"list": [b"\xff", {"deep": b"\xfe", "n": 1}, None, True, "é"]},
        {"n": -(2**63), "u": 2**64 - 1, "f": 0.1, "none": None, "nul": "a\0b"},
    ],
)
def test_headers_come_back_as_they_were(headers):
    assert copy(headed(**headers)) == headed(**headers)


@pytest.mark.parametrize("depth", [33, 330])
def test_what_is_nested_very_deeply_is_kept_as_text(depth):
    value: object = {"a": 1}
    for _ in range(depth):
        value = [value]
    kept = copy(headed(x=value, cid="smsc1")).headers
    assert kept["cid"] == "smsc1"
    assert json.dumps(kept["x"]).count("{'a': 1}") == 1
    assert copy(copy(headed(x=value))) == copy(headed(x=value))


def test_octets_that_are_text_come_back_as_octets():
    assert copy(headed(cid="é".encode())) == headed(cid="é".encode())


@pytest.mark.parametrize("value", ["AAAA", "A", "not base64", 5, None, []])
def test_a_header_that_looks_like_our_own_mark_comes_back_as_it_was(value):
    message = headed(x={"$base64": value})
    assert copy(message) == message


def test_a_header_table_that_looks_like_our_own_mark_comes_back_as_it_was():
    message = Message("e", "k", None, {"$base64": "AAAA"}, b"x")
    assert copy(message) == message


def test_the_same_message_is_written_alike_so_that_it_is_parked_once():
    assert to_json(headed(a=1, b=b"\xff")) == to_json(headed(a=1, b=b"\xff"))
