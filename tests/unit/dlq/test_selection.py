from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from service.broker.marks import Death
from service.broker.topology import BILL, DLR, SUBMIT
from service.dlq.letter import Letter
from service.dlq.selection import Selection
from service.events.message import Message

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def letter(reason="body is empty", age: timedelta | None = timedelta(hours=3), body=b"x"):
    at = None if age is None else NOW - age
    message = Message("", DLR.dead_queue, "m1", {"x-delivery-count": 3}, body)
    return Letter(1, "dlr", message, Death(reason, at, "messaging", "dlr.deliver_sm"))


@pytest.mark.parametrize(
    ("asked", "is_taken"),
    [
        ({}, True),
        ({"reason": "EMPTY"}, True),
        ({"reason": "full"}, False),
        ({"older_than": timedelta(hours=2)}, True),
        ({"older_than": timedelta(hours=4)}, False),
        ({"newer_than": timedelta(hours=4)}, True),
        ({"newer_than": timedelta(hours=2)}, False),
        ({"older_than": timedelta(hours=2), "newer_than": timedelta(hours=4)}, True),
        ({"older_than": timedelta(hours=2), "newer_than": timedelta(hours=2)}, False),
        ({"reason": "empty", "older_than": timedelta(hours=4)}, False),
    ],
)
def test_all_that_is_asked_for_must_hold(asked, is_taken):
    assert Selection(NOW, **asked).takes(letter()) is is_taken


def test_a_letter_of_unknown_age_is_neither_old_nor_new():
    assert Selection(NOW).takes(letter(age=None))
    assert not Selection(NOW, older_than=timedelta()).takes(letter(age=None))
    assert not Selection(NOW, newer_than=timedelta(days=999)).takes(letter(age=None))


def test_an_id_is_chosen_by_its_beginning_in_any_case():
    one = letter()
    assert Selection(NOW, id=one.id[:4].upper()).takes(one)
    assert not Selection(NOW, id="x").takes(one)


def test_an_id_is_of_the_content_and_not_of_the_delivery():
    one, again = letter(), letter()._replace(tag=2)
    again.message.headers["x-delivery-count"] = 4
    assert one.id == again.id
    assert len({one.id, letter(body=b"y").id, letter(reason="z").id, letter(age=None).id}) == 4


def test_a_stream_has_its_dead_queue():
    assert Selection(NOW, "dlr").sources == {"dlr": DLR}
    assert Selection(NOW, "bill").sources == {"bill": BILL}
    assert Selection(NOW).sources == {"dlr": DLR, "bill": BILL, "submit": SUBMIT}
