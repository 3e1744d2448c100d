from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, encode

from service.broker import leniency, properties
from service.events.message import NO_MESSAGE_ID, UNREADABLE
from tests.support.wire import header_of
from tests.unit.samples import captured

CAPTURED = captured("dlr.") + captured("bill_request.")


@pytest.fixture(autouse=True)
def _lenient():
    leniency.install()


def marshalled(**values: object) -> bytes:
    return commands.Basic.Properties(**values).marshal()


@pytest.mark.parametrize("message", CAPTURED, ids=lambda message: message.routing_key)
def test_what_jasmin_sends_is_read_as_it_was_meant(message):
    decoded = properties.decode(header_of(message))
    assert (decoded.message_id, decoded.headers) == (message.message_id, message.headers)


@pytest.mark.parametrize("message", CAPTURED, ids=lambda message: message.routing_key)
def test_what_jasmin_sends_takes_the_quick_way(message):
    assert properties._quickly(header_of(message)) == properties._thoroughly(header_of(message))


def test_nothing_at_all():
    assert properties.decode(b"\0\0") == properties.Properties(None, {})


@pytest.mark.parametrize("more", [{}, {"yes": True}], ids=["quickly", "thoroughly"])
def test_an_id_that_a_dead_letter_was_given_is_none_of_its_own(more):
    headers = {"type": "submit_sm_resp", NO_MESSAGE_ID: "true", **more}
    for number in range(3):  # each with another id, of the same length
        decoded = properties.decode(marshalled(headers=headers, message_id=f"given-{number}"))
        assert decoded == properties.Properties(None, headers)
        own = {"type": "submit_sm_resp", NO_MESSAGE_ID[:-1] + "s": "true", **more}
        decoded = properties.decode(marshalled(headers=own, message_id=f"given-{number}"))
        assert decoded == properties.Properties(f"given-{number}", own)


HEADERS = {
    "string": "caf\u00e9",
    "octets": bytearray(b"\xff\xfe"),
    "yes": True,
    "small": -5,
    "int": 70_000,
    "long": -(2**40),
    "float": 1.5,
    "decimal": Decimal("1.25"),
    "time": datetime(2024, 1, 1, tzinfo=UTC),
    "nothing": None,
    "list": [1, "a", {"deep": ["er"]}],
    "table": {"inner": {"er": 1}},
    "": "a header without a name",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_of_any_type_is_read(name):
    decoded = properties.decode(marshalled(headers={name: HEADERS[name]}, message_id="m"))
    assert decoded.headers == {name: HEADERS[name]}
    assert decoded.message_id == "m"


def test_all_types_and_all_properties_together():
    now = datetime(2024, 1, 1, 12, tzinfo=UTC)
    decoded = properties.decode(
        marshalled(
            content_type="text/plain",
            content_encoding="utf-8",
            headers=HEADERS,
            delivery_mode=2,
            priority=3,
            correlation_id="c",
            reply_to="r",
            expiration="1000",
            message_id="m",
            timestamp=now,
            message_type="t",
            user_id="u",
            app_id="a",
        )
    )
    assert decoded == properties.Properties("m", HEADERS, now.timestamp())


@pytest.mark.parametrize("value", [0, 3, 2**40])
def test_the_queues_count_is_no_header_of_the_message(value):
    count = encode.short_string("x-delivery-count") + b"l" + encode.long_long_int(value)
    table = len(count).to_bytes(4) + count
    decoded = properties.decode(b"\x20\x00" + table)
    assert decoded == properties.Properties(None, {}, None, value)


@pytest.mark.parametrize(
    ("added", "count"),
    [
        ({"x-acquired-count": 3}, 3),  # RabbitMQ 4.3, requeued by us
        ({"x-acquired-count": 3, "x-delivery-count": 1}, 3),  # and once a consumer died of it
        ({"x-opt-rabbitmq-sent-time": 1_767_323_045_000}, None),
    ],
)
def test_what_newer_brokers_add_at_a_delivery_is_no_header_of_the_message(added, count):
    decoded = properties.decode(marshalled(headers={"type": "deliver_sm", **added}))
    assert decoded == properties.Properties(None, {"type": "deliver_sm"}, None, count)


def test_a_count_that_the_queue_did_not_write_is_none():
    decoded = properties.decode(marshalled(headers={"x-delivery-count": "many"}))
    assert decoded == properties.Properties(None, {})


def test_headers_of_one_message_are_not_those_of_the_next():
    header = marshalled(headers={"a": "1"})
    properties.decode(header).headers["b"] = "2"
    assert properties.decode(header).headers == {"a": "1"}


def test_few_octets_are_read_once():
    header = marshalled(delivery_mode=1)
    assert properties.decode(header) is properties.decode(header)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x20",
        b"\x20\x00",
        b"\x20\x00\x00\x00\x00\x09\x01aS\x00\x00\x00\xff",  # longer than there is
        b"\x20\x00\x00\x00\x00\x03\x01a?",  # no such type
        b"\x00\x80",
        b"\x00\x01\x00",
    ],
)
def test_what_cannot_be_read_says_so(header):
    decoded = properties.decode(header)
    assert decoded.message_id is None
    assert UNREADABLE in decoded.headers or decoded.headers == {}


def test_long_headers_are_read_only_where_that_is_quick():
    texts = {f"h{number}": "x" * 1000 for number in range(20)}
    assert properties.decode(marshalled(headers=texts)).headers == texts
    mixed = properties.decode(marshalled(headers=texts | {"none": None}))
    assert mixed.headers == {UNREADABLE: "20,182 bytes of headers that are no texts"}


def test_an_id_that_is_no_text_is_kept_in_escapes():
    assert properties.decode(b"\x00\x80\x02\xff\xfe").message_id == r"\xff\xfe"


@given(
    headers=st.dictionaries(
        st.text(max_size=20), st.text(max_size=300) | st.integers(-(2**63), 2**63 - 1)
    ),
    message_id=st.none() | st.text(min_size=1, max_size=60),
    mode=st.sampled_from([None, 1, 2]),
)
def test_both_ways_agree(headers, message_id, mode):
    header = marshalled(headers=headers, message_id=message_id, delivery_mode=mode)
    assert properties.decode(header) == properties._thoroughly(header)


TEXTS = st.text(st.characters(codec="ascii"), max_size=4)


@given(
    names=st.lists(st.text(max_size=4), max_size=4, unique=True),
    messages=st.lists(
        st.tuples(
            st.tuples(*[TEXTS | st.text(max_size=2)] * 4),
            st.none() | TEXTS.filter(bool),
            st.sampled_from([None, 1, 2]),
        ),
        min_size=2,
        max_size=6,
    ),
)
def test_what_was_learned_of_one_message_is_right_for_the_next(names, messages):
    for values, message_id, mode in messages:
        headers = dict(zip(names, values, strict=False))
        header = marshalled(headers=headers, message_id=message_id, delivery_mode=mode)
        for cut in (header, header[:-1], header + b"x"):
            assert properties.decode(cut) == afresh(cut)


def afresh(header):
    """Decode without anything that was learned."""
    layouts, properties._layouts = properties._layouts, {}
    try:
        return properties.decode(header)
    finally:
        properties._layouts = layouts


def test_a_layout_is_learned_and_used(monkeypatch):
    monkeypatch.setattr(properties, "_layouts", {})
    first, second = (marshalled(headers={"a": n, "b": "x"}, message_id=n) for n in ("01", "02"))
    properties.decode(first)
    monkeypatch.setattr(properties, "_quickly", None)
    decoded = properties.decode(second)
    assert decoded == properties.Properties("02", {"a": "02", "b": "x"})


@given(st.binary(max_size=120))
def test_no_octets_make_it_fail(header):
    properties.decode(header)
