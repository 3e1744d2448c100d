from __future__ import annotations

import pytest

from service.addresses import Address, Turns, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rabbit", [("rabbit", 5672)]),
        ("rabbit-1,rabbit-2:5673", [("rabbit-1", 5672), ("rabbit-2", 5673)]),
        (" rabbit-1 , rabbit-2 ", [("rabbit-1", 5672), ("rabbit-2", 5672)]),
        ("10.0.0.1:1,10.0.0.1:65535", [("10.0.0.1", 1), ("10.0.0.1", 65535)]),
        ("::1", [("::1", 5672)]),
        ("[2001:db8::1]:5673,[2001:db8::2]", [("2001:db8::1", 5673), ("2001:db8::2", 5672)]),
    ],
)
def test_hosts_are_read_with_or_without_ports(text: str, expected: list[tuple[str, int]]) -> None:
    assert parse(text, 5672) == tuple(Address(*each) for each in expected)


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "rabbit,", "rabbit 1", "rabbit:", "rabbit:amqp", "rabbit:0", "rabbit:65536"),
        *("rabbit:123456", "amqp://rabbit", "rabbit/vhost", "user@rabbit", "[rabbit]:5672"),
        *("rabbit..example", ".", "r" * 64, "rabbit-1,rabbit-2..example"),
        *("[::1", "[::1]5672", "::1::2", "rabbit:1:2", "rabbit,rabbit:5672", "[::1],::1"),
    ],
)
def test_what_is_no_list_of_hosts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text, 5672)


def test_an_address_is_shown_as_it_can_be_written() -> None:
    text = "rabbit-1:5672,[2001:db8::1]:5673"
    assert ",".join(map(str, parse(text, 1))) == text


def test_what_failed_comes_last() -> None:
    turns = Turns("abc")
    turns.failed("a")
    assert list(turns) == ["b", "c", "a"]
    turns.failed("c")
    turns.failed("c")  # of a session with two connections
    assert list(turns) == ["b", "a", "c"]


def test_each_is_tried_once_although_all_fail() -> None:
    turns, tried = Turns("abc"), []
    for item in turns:
        tried.append(item)
        turns.failed(item)
    assert tried == ["a", "b", "c"]
