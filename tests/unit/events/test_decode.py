from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.events.decode import BillDecoder, DlrDecoder, decode_each
from service.events.message import UNREADABLE, Message, from_json, to_json
from service.events.records import BillEvent, Receipt, Refused, SubmitResult

from ..samples import (
    DLR,
    MAX_BODY,
    bill,
    bill_json,
    captured,
    dlr_json,
    one_by_one,
    receipt,
    submit_result,
    with_headers,
    without,
)

decode_dlr = one_by_one(DlrDecoder(ZoneInfo("UTC"), MAX_BODY))
decode_bill = one_by_one(BillDecoder(MAX_BODY))
DLRS = captured("dlr.")
BILLS = captured("bill_request.")
BOTH = pytest.mark.parametrize("decode", [decode_dlr, decode_bill])


def test_the_capture_holds_what_is_claimed_of_it():
    assert (len(DLRS), len(BILLS)) == (38, 16)


@pytest.mark.parametrize("message", DLRS)
def test_every_dlr_that_jasmin_sent_decodes(message):
    event = decode_dlr(message)
    assert event.status.known
    assert event.status.text == message.body.decode()
    if message.routing_key == "dlr.submit_sm_resp":
        assert isinstance(event, SubmitResult)
        assert event.message_id == message.message_id
        assert (event.smpp_msgid is None) == (event.status.text != "ESME_ROK")
    else:
        assert isinstance(event, Receipt)
        assert event.message_id is None
        assert event.operator_ids[0] == message.message_id
        assert event.connector_id == message.headers["cid"]
        assert event.error_code == message.headers["dlr_err"]
        assert (event.done_at is None) == (message.headers["dlr_ddate"] == "ND")


@pytest.mark.parametrize("message", BILLS)
def test_every_bill_that_jasmin_sent_decodes(message):
    event = decode_bill(message)
    assert event.bid == message.body.decode() == message.message_id
    assert event.uid == message.headers["user-id"]
    assert event.amount == Decimal(message.headers["amount"])
    assert event.message_id is None


def test_captured_answers_link_captured_receipts():
    answers = [decode_dlr(m) for m in DLRS if m.routing_key == "dlr.submit_sm_resp"]
    linked = {answer.smpp_msgid for answer in answers}
    receipts = [decode_dlr(m) for m in DLRS if m.routing_key == "dlr.deliver_sm"]
    assert any(linked.intersection(event.operator_ids) for event in receipts)


def test_both_shapes_are_told_apart_by_their_content():
    assert decode_dlr(dlr_json()).message_id == "msg-uuid"
    assert decode_dlr(receipt()).message_id is None
    assert decode_bill(bill_json()).message_id == "msg-uuid"
    assert decode_bill(bill()).message_id is None


def test_json_counts_as_json_whatever_headers_and_white_space_are_around_it():
    message = with_headers(dlr_json(b" \r\n\t" + dlr_json().body), {"type": "deliver_sm"})
    assert decode_dlr(message).message_id == "msg-uuid"
    message = with_headers(bill_json(b"\n" + bill_json().body), {"user-id": "x", "amount": "9"})
    assert decode_bill(message).bid == "unique-bill-id"


def test_the_zone_is_the_one_that_was_given():
    madrid = one_by_one(DlrDecoder(ZoneInfo("Europe/Madrid"), MAX_BODY))
    winter = datetime(2024, 1, 15, 11, 0, tzinfo=UTC)
    assert madrid(receipt(dlr_ddate="2401151200")).done_at == winter
    assert madrid(dlr_json()).done_at == datetime(2024, 1, 1, 11, 0, 5, tzinfo=UTC)


@BOTH
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body is empty"),
        (b"x" * (1 << 20), "1,048,576 bytes is longer than 65536"),
        (b"{" + b" " * (1 << 20) + b"}", "is longer than"),
        (b"[1, 2]", "neither"),
        (b'"DELIVRD"', "neither"),
        (b"DELIVRD", "neither"),
        (b"\x80\x02}q\x00.", "neither"),
        (b" \n", "neither"),
        (b"{not json", "not valid JSON"),
    ],
)
def test_what_has_neither_shape_is_refused(decode, body, reason):
    with pytest.raises(Refused, match=reason):
        decode(Message("messaging", "dlr.x", "m1", {}, body))


@pytest.mark.parametrize("missing", ["user-id", "amount"])
def test_a_native_bill_needs_account_and_amount(missing):
    headers = {name: value for name, value in bill().headers.items() if name != missing}
    with pytest.raises(Refused, match="neither"):
        decode_bill(with_headers(bill(), headers))


@BOTH
def test_headers_that_could_not_be_read_are_said_to_be_the_reason(decode):
    message = Message("messaging", "dlr.x", "m1", {UNREADABLE: "ValueError: year"}, b"DELIVRD")
    with pytest.raises(Refused, match="its headers cannot be read: 'ValueError: year'"):
        decode(message)


def test_an_unknown_type_header_is_refused():
    with pytest.raises(Refused, match="unknown type header: 'query_sm_resp'"):
        decode_dlr(receipt(type="query_sm_resp"))


@pytest.mark.parametrize(("length", "taken"), [(100, True), (101, False)])
def test_the_limit_of_a_body_is_what_was_set(length, taken):
    decode = one_by_one(DlrDecoder(ZoneInfo("UTC"), max_body_bytes=100))
    message = submit_result(body=b"ESME_ROK".ljust(length))
    if taken:
        assert decode(message).status.text == "ESME_ROK"
    else:
        with pytest.raises(Refused, match="101 bytes is longer than 100"):
            decode(message)


CONTRACT = [
    dlr_json(),
    dlr_json({"message_id": "m2", "status": "ESME_ROK", "smpp_msgid": "ff"}),
    dlr_json(b' {"message_id":"m3","status":"UNDELIV","dlr_details":{"err":7}}\n'),
]


@given(st.lists(st.sampled_from([*DLRS, *CONTRACT]), max_size=12))
def test_a_batch_says_what_its_messages_say_alone_and_in_their_order(messages):
    assert decode_each(DlrDecoder(ZoneInfo("UTC"), MAX_BODY), messages) == [
        decode_dlr(message) for message in messages
    ]


BAD = [Message("messaging", "dlr.x", "m1", {}, b"[]"), dlr_json(without(DLR, "message_id"))]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", range(7))
def test_one_bad_message_costs_only_itself(bad, place):
    messages = [*DLRS[:4], *CONTRACT[:2]]
    messages.insert(place, bad)
    decoded = decode_each(DlrDecoder(ZoneInfo("UTC"), MAX_BODY), messages)
    assert [index for index, event in enumerate(decoded) if isinstance(event, Refused)] == [place]
    assert decoded[:place] + decoded[place + 1 :] == [
        decode_dlr(message) for message in messages if message is not bad
    ]


# What a hostile or broken publisher may make of a genuine message.

GENUINE = [*DLRS, *BILLS, dlr_json(), bill_json()]
SNIPPETS = [
    *[b"\0", b"\\u0000", b"\\ud800", b"\\udc00", b"\xff", b"\xed\xa0\x80", b"\\", b'"', b"{", b"["],
    *[b"}", b"]", b",", b":", b"-", b"e9999", b"null", b"1e400", b"NaN", b"[" * 3000],
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.binary(max_size=8),
    st.binary(max_size=8).map(bytearray),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["a\0b", b"a\0b", "9" * 5000, "00", "", " ", "-1", "NaN", "1e-05"]),
    st.just(datetime(2024, 1, 1, tzinfo=UTC)),
    st.just(Decimal("0.01")),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=2),
    st.dictionaries(st.sampled_from(["a", "type"]), scalars, max_size=2),
)


@st.composite
def mutated(draw: st.DrawFn) -> Message:
    message = draw(st.sampled_from(GENUINE))
    body, headers, message_id = bytearray(message.body), dict(message.headers), message.message_id
    for what in draw(
        st.lists(st.sampled_from(["flip", "cut", "put", "drop", "retype", "add", "id"]), max_size=4)
    ):
        where = draw(st.integers(0, max(0, len(body) - 1)))
        if what == "flip" and body:
            body[where] = draw(st.integers(0, 255))
        elif what == "cut":
            del body[where:]
        elif what == "put":
            body[where:where] = draw(st.sampled_from(SNIPPETS))
        elif what == "drop" and headers:
            del headers[draw(st.sampled_from(sorted(headers)))]
        elif what == "retype" and headers:
            headers[draw(st.sampled_from(sorted(headers)))] = draw(values)
        elif what == "add":
            headers[draw(st.sampled_from(["type", "amount", "user-id", "dlr_ddate", "x-more"]))] = (
                draw(values)
            )
        elif what == "id":
            message_id = draw(st.none() | st.sampled_from(["", " ", "a\0b", "00", "É", "x" * 255]))
    return msgspec.structs.replace(
        message, body=bytes(body), headers=headers, message_id=message_id
    )


def texts(value: object) -> Iterator[str]:
    """Yield every text of an event, those within its details included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)


@BOTH
@settings(max_examples=2000, suppress_health_check=list(HealthCheck))
@given(message=mutated())
def test_a_mutated_message_is_refused_or_can_be_stored(decode, message):
    try:
        event = decode(message)
    except Refused as refusal:
        str(refusal).encode()
        return
    details = json.loads(getattr(event, "details", None) or "null")
    for text in texts([*msgspec.structs.astuple(event), details]):
        assert "\0" not in text
        text.encode()
    if isinstance(event, BillEvent):
        assert event.amount.is_finite()
        assert event.amount >= 0
    assert decode(from_json(to_json(message))) == event  # as it is when it has been parked
