from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.broker import marks
from service.broker.marks import HeadersLost
from service.broker.topology import DLR
from service.events.message import NO_MESSAGE_ID, UNREADABLE, Message

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BY_THE_BROKER = {
    "x-death": [
        {
            "queue": DLR.queue,
            "reason": "maxlen",
            "time": AT,
            "exchange": "messaging",
            "routing-keys": ["dlr.deliver_sm"],
            "count": 1,
        }
    ],
    "x-first-death-reason": "maxlen",
    "x-last-death-reason": "maxlen",
    "x-delivery-count": 1,
    "x-acquired-count": 2,
    "x-opt-rabbitmq-sent-time": 1_767_323_045_000,
}


def native(exchange="messaging", routing_key="dlr.deliver_sm", **headers):
    return Message(exchange, routing_key, "AA", {"type": "deliver_sm", **headers}, b"DELIVRD")


def replayed(**headers):
    return native("", DLR.queue, **headers)


def delivered(sent) -> Message:
    """Return a message as it comes out of the dead queue."""
    return Message("", DLR.dead_queue, sent.message_id, dict(sent.headers), sent.body)


def dead(message: Message, reason: str = "body is empty") -> Message:
    return delivered(marks.mark("dlr", DLR, message, reason))


def test_all_that_is_marked_can_be_read():
    message = dead(native())
    death = marks.read(DLR, message)
    assert message.headers["x-billing-stream"] == "dlr"
    assert death.reason == "body is empty"
    assert abs((datetime.now(UTC) - death.at).total_seconds()) < 60
    assert (death.exchange, death.routing_key) == ("messaging", "dlr.deliver_sm")


def test_a_replay_keeps_where_the_message_was_published_first_and_no_other_mark():
    message = dead(native(CC=["elsewhere"], blob=b"\xff"))
    again = marks.unmark(message, marks.read(DLR, message))
    assert again.body == b"DELIVRD"
    assert again.message_id == "AA"
    assert again.headers == {
        "type": "deliver_sm",
        "blob": b"\xff",
        "x-billing-exchange": "messaging",
        "x-billing-routing-key": "dlr.deliver_sm",
    }


@pytest.mark.parametrize("message_id", [None, ""])
def test_a_message_without_an_id_is_marked_as_such_for_as_long_as_it_is_replayed(message_id):
    without = Message("messaging", "dlr.submit_sm_resp", message_id, {"type": "x"}, b"ESME_ROK")
    message = dead(without)
    assert message.headers[NO_MESSAGE_ID] == "true"
    again = marks.unmark(message, marks.read(DLR, message))
    assert again.headers == {
        "type": "x",
        "x-billing-exchange": "messaging",
        "x-billing-routing-key": "dlr.submit_sm_resp",
        NO_MESSAGE_ID: "true",
    }


def test_one_that_the_broker_pushed_out_without_an_id_is_marked_by_its_replay():
    message = Message("", DLR.dead_queue, None, BY_THE_BROKER, b"ESME_ROK")
    again = marks.unmark(message, marks.read(DLR, message))
    assert again.headers[NO_MESSAGE_ID] == "true"


def test_a_message_with_an_id_is_not_marked_as_without():
    message = dead(native())
    assert NO_MESSAGE_ID not in message.headers
    assert NO_MESSAGE_ID not in marks.unmark(message, marks.read(DLR, message)).headers


def test_what_is_refused_again_after_a_replay_keeps_its_origin_and_gets_a_new_reason():
    first = dead(native())
    again = marks.unmark(first, marks.read(DLR, first))
    second = dead(replayed(**again.headers), "another")
    assert marks.read(DLR, second)._replace(at=None) == (
        "another",
        None,
        "messaging",
        "dlr.deliver_sm",
    )


def test_a_stranger_cannot_forge_where_a_message_came_from():
    forged = {"x-billing-exchange": "e", "x-billing-routing-key": "k", "x-billing-stream": "bill"}
    death = marks.read(DLR, dead(native(**forged)))
    assert (death.exchange, death.routing_key) == ("messaging", "dlr.deliver_sm")
    death = marks.read(DLR, native("", DLR.dead_queue, **forged, **BY_THE_BROKER))
    assert (death.exchange, death.routing_key) == ("messaging", "dlr.deliver_sm")


def test_what_the_broker_dead_letters_says_so():
    death = marks.read(DLR, native("", DLR.dead_queue, **BY_THE_BROKER))
    expected = ("pushed out by the broker: maxlen", AT, "messaging", "dlr.deliver_sm")
    assert death == expected
    again = marks.unmark(native("", DLR.dead_queue, **BY_THE_BROKER), death)
    assert again.headers == {
        "type": "deliver_sm",
        "x-billing-exchange": "messaging",
        "x-billing-routing-key": "dlr.deliver_sm",
    }


def test_what_the_broker_dead_letters_after_a_replay_keeps_its_origin():
    (broker,) = BY_THE_BROKER["x-death"]
    death = marks.read(
        DLR,
        native(
            "",
            DLR.dead_queue,
            **{"x-billing-exchange": "messaging", "x-billing-routing-key": "dlr.data_sm"},
            **{"x-death": [broker | {"exchange": "", "routing-keys": [DLR.queue]}]},
        ),
    )
    assert (death.exchange, death.routing_key) == ("messaging", "dlr.data_sm")
    assert death.at == AT


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-death": "gibberish"},
        {"x-death": []},
        {"x-death": [7]},
        {"x-death": [{"reason": b"\xff", "time": "then", "routing-keys": 7}]},
        {"x-billing-reason": {"a": 1}, "x-billing-dead-at": "then"},
        {"x-billing-reason": b"\xff\xfe", "x-billing-dead-at": None},
        {"x-billing-reason": "", "x-billing-dead-at": "9999-99-99"},
        {UNREADABLE: "ValueError"},
    ],
)
def test_marks_that_make_no_sense_are_read_all_the_same(headers):
    death = marks.read(DLR, Message("", DLR.dead_queue, None, headers, b""))
    assert isinstance(death.reason, str)
    assert death.at is None


def test_a_time_without_a_zone_is_utc():
    headers = {"x-billing-reason": "r", "x-billing-dead-at": "2026-01-02T03:04:05"}
    assert marks.read(DLR, native("", DLR.dead_queue, **headers)).at == AT


@pytest.mark.parametrize("headers", [{"x": "a" * 60_000}, {"deep": [{"when": object()}]}])
def test_headers_that_a_replay_would_lose_are_told_of(headers):
    message = native("", DLR.dead_queue, **headers, **BY_THE_BROKER)
    with pytest.raises(HeadersLost):
        marks.unmark(message, marks.read(DLR, message))
    message = dead(native(**headers))  # here they are lost already
    assert marks.unmark(message, marks.read(DLR, message)).body == b"DELIVRD"


def test_headers_that_cannot_be_read_are_not_replayed_without():
    message = Message("", DLR.dead_queue, "AA", {UNREADABLE: "ValueError: year"}, b"DELIVRD")
    with pytest.raises(HeadersLost):
        marks.unmark(message, marks.read(DLR, message))
