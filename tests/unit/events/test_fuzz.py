"""Whatever comes off the wire becomes an event or a refusal, and can be parked or buried."""

from __future__ import annotations

import json
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp.header import ContentHeader

from service.broker import topology
from service.broker.marks import mark
from service.events.decode import BillDecoder, DlrDecoder
from service.events.message import Message, from_json, to_json
from service.events.records import BillEvent, DlrEvent, Refused
from tests.support.mutations import HEADER_VALUES, genuine, mutants
from tests.support.seed import SEED
from tests.unit.samples import MAX_BODY, one_by_one

MUTANTS = 100_000  # of each stream
DECODERS: dict[str, Callable[[Message], DlrEvent | BillEvent]] = {
    "dlr": one_by_one(DlrDecoder(ZoneInfo("UTC"), MAX_BODY)),
    "bill": one_by_one(BillDecoder(MAX_BODY)),
}


def decoded(stream: str, message: Message) -> DlrEvent | BillEvent | str:
    """Return the event, or why it is refused."""
    try:
        return DECODERS[stream](message)
    except Refused as refusal:
        return str(refusal)


def check(stream: str, message: Message, *, bury: bool = True) -> bool:
    """Decode, park and bury one message; return whether it was accepted."""
    event = decoded(stream, message)
    is_accepted = not isinstance(event, str)
    if is_accepted:
        again = from_json(to_json(message))
        assert decoded(stream, again) == event
        assert to_json(again) == to_json(message)
    if not bury:
        return is_accepted
    source = topology.DLR if stream == "dlr" else topology.BILL
    buried = mark(stream, source, message, event if isinstance(event, str) else "a reason")
    ContentHeader(body_size=len(buried.body), properties=buried.properties).marshal()
    return is_accepted


@pytest.mark.parametrize("stream", DECODERS)
def test_genuine_messages_are_accepted(stream):
    assert all(check(stream, message) for message in genuine(stream))


@pytest.mark.parametrize("stream", DECODERS)
def test_mutated_messages_are_accepted_or_refused(stream):
    accepted = 0
    for number, message in enumerate(mutants(stream, MUTANTS, SEED)):
        try:
            accepted += check(stream, message, bury=number % 5 == 0)
        except Exception as error:
            raise AssertionError(f"mutant {number}: {message!r:.3000}") from error
    assert MUTANTS / 10 < accepted < MUTANTS * 9 / 10


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ["message_id", "status", "pdu_type", "smpp_msgid", "dlr_details", "bid", "connector_id"],
        JSON,
    )
    | {
        "user": JSON | st.fixed_dictionaries({}, optional={"uid": JSON}),
        "amounts": JSON | st.fixed_dictionaries({}, optional={"submit_sm_resp": JSON}),
    },
)
HEADERS = st.dictionaries(
    st.sampled_from(["type", "cid", "dlr_id", "dlr_ddate", "dlr_err", "user-id", "amount", "x"]),
    st.sampled_from(HEADER_VALUES) | TEXT | st.sampled_from(["deliver_sm", "submit_sm_resp", "1"]),
)
BODIES = st.binary(max_size=200) | TEXT.map(str.encode)


@pytest.mark.parametrize("stream", DECODERS)
@settings(max_examples=300)
@given(data=st.data())
def test_anything_at_all_is_accepted_or_refused(stream, data):
    is_json = data.draw(st.booleans())
    body = json_bytes(data.draw(FIELDS)) if is_json else data.draw(BODIES)
    headers, message_id = data.draw(HEADERS), data.draw(st.none() | TEXT)
    check(stream, Message("messaging", "dlr.x", message_id, headers, body))


def json_bytes(value: object) -> bytes:
    return json.dumps(value).encode()
