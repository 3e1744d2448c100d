"""Jasmin's pickles are read, and nothing that a pickle asks for is done."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.events import pickles
from service.events.decode import SubmitDecoder
from service.events.message import Message
from service.events.pickles import load
from service.events.records import Refused
from service.events.stand_ins import Call, Global, Object
from tests.support.mutations import genuine
from tests.support.pickles import BILL, SIZE, bombs, executing, hostile, with_bill
from tests.support.seed import SEED

from ..samples import MAX_BODY, UTC_ZONE, one_by_one

PICKLES = 10_000
GENUINE = genuine("submit")
PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3, 4, 5])
# Far above what any of them takes, and far below what they would take from Python's own reader.
SECONDS = 2.0
BYTES = 32_000_000

decode = one_by_one(SubmitDecoder(UTC_ZONE, MAX_BODY, keep_text=True))


@pytest.fixture
def _nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("something was run")

    for module, name in ((os, "system"), (subprocess, "Popen"), (pickle, "loads")):
        monkeypatch.setattr(module, name, forbidden)
    for name in ("eval", "exec", "__import__", "getattr"):
        monkeypatch.setitem(vars(pickles), name, forbidden)


@pytest.mark.parametrize("name", executing(Path("x")))
def test_what_would_run_a_command_is_refused_and_runs_none(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    attack = executing(canary)[name]
    with pytest.raises(Refused):
        load(attack)
    for message in (with_bill(GENUINE[0], attack), with_body(attack)):
        with pytest.raises(Refused):
            decode(message)
    assert not canary.exists()
    pickle.loads(attack)  # it is a real attack
    assert canary.exists()


@pytest.mark.parametrize("name", bombs())
def test_what_is_broken_or_a_bomb_is_refused_soon(name: str) -> None:
    message = with_body(bombs()[name])
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(Refused):
            decode(message)
        assert time.process_time() - started < SECONDS
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("an integer of many octets", "its pickle has an integer of 255 octets"),
        ("a hash that never ends", "its pickle is cut short or damaged"),
        ("a key that is no text", "its pickle is cut short or damaged"),
        ("more after its end", "its pickle is cut short or damaged"),
        ("persistent id", "its pickle has what Jasmin's have not: PERSID"),
        ("extension 4", "its pickle has what Jasmin's have not: EXT4"),
        ("out of band buffer", "its pickle has what Jasmin's have not: NEXT_BUFFER"),
        ("a name that is none", "its pickle names what Jasmin's do not: 'jasmin.tools.a.b'"),
    ],
)
def test_the_reader_itself_refuses_and_says_why(name: str, reason: str) -> None:
    with pytest.raises(Refused, match=f"^{re.escape(reason)}$"):
        load(bombs()[name])


@pytest.mark.usefixtures("_nothing_runs")
def test_of_many_hostile_submissions_none_runs_anything() -> None:
    accepted = 0
    for number, message in enumerate(hostile(PICKLES, SEED)):
        try:
            decode(message)
            accepted += 1
        except Refused:
            continue
        except BaseException as error:
            raise AssertionError(f"{number}: {message!r:.3000}") from error
    assert PICKLES / 100 < accepted < PICKLES / 2


@given(octets=st.binary(max_size=200), protocol=st.sampled_from([2, 3, 4, 5]))
@example(octets=b"", protocol=2)
def test_anything_at_all_is_read_or_refused(octets: bytes, protocol: int) -> None:
    with suppress(Refused):
        load(b"\x80" + bytes([protocol]) + octets)


@given(at=st.integers(0, 1127), octets=st.binary(min_size=1, max_size=9))
def test_a_genuine_one_with_anything_in_it_is_read_or_refused(at: int, octets: bytes) -> None:
    body = GENUINE[0].body
    with suppress(Refused):
        decode(with_body(body[:at] + octets + body[at + len(octets) :]))


def test_cut_short_anywhere_it_is_refused() -> None:
    message = GENUINE[-1]
    for body in (message.body, message.headers[BILL]):
        for end in range(len(body)):
            with pytest.raises(Refused):
                load(bytes(body[:end]))


def test_a_refusal_says_nothing_of_what_a_message_says() -> None:
    body = GENUINE[0].body
    secret = b"Dear Ann"
    assert b"hello1" in body
    body = body.replace(b"\x06\x00\x00\x00hello1", b"\x08\x00\x00\x00" + secret)
    assert decode(with_body(body)).text == secret.decode()
    for number in range(len(body)):
        for changed in (body[:number], body[:number] + b"\xff" + body[number + 1 :]):
            assert "Ann" not in refusal(changed)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
)


@settings(max_examples=50)
@given(value=JSON, protocol=st.sampled_from([2, 3, 4, 5]))
def test_plain_values_are_read_as_python_reads_them(value: Any, protocol: int) -> None:
    assert load(pickle.dumps(value, protocol)) == value


@PROTOCOLS
def test_a_long_value_is_read_too(protocol: int) -> None:
    value = {"texts": ["x" * 300] * 3, "ids": [str(n) for n in range(400)]}
    assert load(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("octets", [b"", b"text", b"\x00\xff", b"x" * 300])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_octets_are_read(octets: bytes, protocol: int) -> None:
    assert load(pickle.dumps([octets], protocol)) == [octets]


def test_octets_of_protocol_2_are_a_call() -> None:
    call = load(pickle.dumps(b"\xff", 2))
    assert isinstance(call, Call)
    assert (call.function, call.arguments) == (Global("_codecs", "encode"), ("\xff", "latin1"))


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_set_becomes_a_list(protocol: int) -> None:
    assert load(pickle.dumps({"x"}, protocol)) == ["x"]


def test_an_object_keeps_its_class_arguments_and_state() -> None:
    pdu = load(GENUINE[0].body)
    assert isinstance(pdu, Object)
    assert pdu.kind == Global("smpp.pdu.operations", "SubmitSM")
    assert pdu.arguments == ()
    assert pdu.state.keys() == {"id", "seqNum", "status", "custom_tlvs", "params"}


def test_a_value_that_contains_itself_is_read() -> None:
    value: list[Any] = []
    value.append(value)
    read: Any = load(pickle.dumps(value, 2))
    assert read[0] is read


def test_the_size_of_a_bomb_is_that_of_the_longest_body() -> None:
    assert SIZE < MAX_BODY < SIZE + 1000
    assert sum(len(bomb) > SIZE / 2 for bomb in bombs().values()) > 5


def with_body(body: bytes) -> Message:
    return msgspec.structs.replace(GENUINE[0], body=body)


def refusal(body: bytes) -> str:
    """Return why a body is refused; nothing where it is not."""
    try:
        decode(with_body(body))
    except Refused as refused:
        return str(refused)
    return ""
