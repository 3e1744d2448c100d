from __future__ import annotations

import io
import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from rich.console import Console

from service.broker.marks import Death
from service.dlq import view
from service.dlq.actions import Listing
from service.dlq.letter import Letter
from service.events.message import NO_MESSAGE_ID, Message

DEATH = Death(
    "Key (msisdn)=(+34600111222) \x1b[2J", datetime(2026, 1, 2, tzinfo=UTC), "messaging", "dlr.x"
)
CONTRACT = {
    "message_id": "1234567890123",
    "to": "+34600111222",
    "numbers": [34600111222],
    "34600111222": True,
    "dlr_details": {"text": "Dear Ann", "done_date": "202601020304", "id": "9876543210"},
}


def letter(body=b"DELIVRD", message_id="1234567890123", **headers) -> Letter:
    message = Message("", "billing_service.dlr.dead", message_id, headers, body)
    return Letter(1, "dlr", message, DEATH)


def test_numbers_are_masked_and_texts_hidden():
    shown = view.as_text(letter(json.dumps(CONTRACT).encode(), dlr_text="Dear"), reveal=False)
    for secret in ("34600111222", "Dear"):
        assert secret not in shown
    for kept in ("1234567890123", "202601020304", "9876543210", "****222"):
        assert kept in shown
    assert shown.count(view.HIDDEN) == 2


def test_a_message_without_an_id_has_a_dash_for_it():
    without = letter(message_id=None, **{NO_MESSAGE_ID: "true"})
    shown = view.as_text(without, reveal=True)
    assert "message id   -\n" in shown
    assert NO_MESSAGE_ID not in shown
    assert listed(without).split()[-2:] == ["-", "7"]


def test_what_is_asked_for_is_revealed():
    shown = view.as_text(letter(json.dumps(CONTRACT).encode(), dlr_text="Dear"), reveal=True)
    for secret in ("+34600111222", "Dear Ann", '"dlr_text": "Dear"'):
        assert secret in shown


@pytest.mark.parametrize(
    "body", [b"DELIVRD", b"ESME_RTHROTTLED", b"6f2e4c1a-53f1-4b7e-9a55-0c8f8a3c1d01", b""]
)
def test_what_jasmin_itself_sends_is_shown(body):
    shown = view.as_text(letter(body), reveal=False)
    assert view.HIDDEN not in shown
    assert body.decode() in shown


@pytest.mark.parametrize(
    "body", [b'{"text": "Dear', b"Dear Ann", b"\xff\xfe", b"34600111222", b"[" * 9999, b'"Dear"']
)
def test_a_body_that_may_be_anything_is_hidden(body):
    assert view.HIDDEN in view.as_text(letter(body), reveal=False)
    assert view.HIDDEN not in view.as_text(letter(body), reveal=True)


@pytest.mark.parametrize("reveal", [True, False])
def test_nothing_is_shown_that_a_terminal_obeys(reveal):
    hostile = letter(b'{"a": "\\u001b[2J\\u009b"}', "\x1b]0;x\x07", **{"\x1b[1m": "\x9b31m\r\n"})
    for shown in (view.as_text(hostile, reveal=reveal), listed(hostile)):
        assert all(char.isprintable() or char == "\n" for char in shown)


def listed(*letters: Letter, **more: int) -> str:
    console = Console(file=io.StringIO(), width=200)
    counts = Counter((one.stream, one.death.reason) for one in letters) + Counter(
        {("bill", reason): number for reason, number in more.items()}
    )
    view.print_listing(console, Listing(counts, list(letters), []))
    return console.file.getvalue()


def test_a_list_has_counts_then_letters_then_what_is_left_out():
    text = listed(letter(), letter(b"x" * 1234), other=7)
    assert "+34600111222" not in text
    assert "1,234" in text
    assert "2026-01-02 00:00:00" in text
    assert "and 7 more" in text
    assert letter().id in text


def test_an_empty_list_says_so():
    assert listed() == "no dead letters\n"


def test_a_list_as_json():
    found = json.loads(view.listing_as_json(Listing(Counter({("dlr", "r"): 2}), [letter()], ["q"])))
    assert found["total"] == 2
    assert found["counts"] == [{"stream": "dlr", "reason": "r", "letters": 2}]
    assert found["letters"][0]["id"] == letter().id
    assert found["missing_queues"] == ["q"]
