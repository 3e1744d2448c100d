"""Genuine messages, and what becomes of them when anything in them changes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from service.events.message import Message
from tests.support.gateway import bill, capture, dlr

PREFIXES = {"dlr": "dlr.", "bill": "bill_request.", "submit": "submit.sm.smsc"}

# Values of every type that an AMQP header can have, as the client library gives them.
HEADER_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 255, -(2**31), 2**32 - 1, -(2**63), 2**63 - 1),
    *(0.0, -1.5, 1e300, float("nan"), float("inf"), Decimal("1.5"), Decimal("-0")),
    *("", " ", "0", "text", "a\0b", "é", "\U0010ffff", "ß" * 200, "x" * 255, "x" * 70_000),
    *(b"", bytearray(b"text"), bytearray(b"\xff\x00"), bytearray(b"\xff" * 300), "a\x1eb"),
    *(datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    *([], [1, [2, ["x"]]], {}, {"a": {"b": [None, bytearray(b"\xff")]}}, {"$base64": "x"}),
)
# JSON texts to put where any value was.
JSON_VALUES = (
    *(b"null", b"true", b"0", b"-0", b"-1", b"1e5", b"1E-400", b"1e400", b"1e131072", b"1e-16384"),
    *(b"9" * 400, b"9" * 20_000, b"0." + b"0" * 17_000 + b"1", b"1" + b"0" * 131, b"NaN", b"-"),
    *(b'""', b'" "', b'"\\u0000"', b'"\\ud800"', b'"\\udc00x"', b'"\\ud83d\\ude00"', b'"\\uFFFF"'),
    *(b'"\xff"', b'"\xed\xa0\x80"', b'"\x00"', b'"' + b"x" * 3000 + b'"', b"[]", b"{}", b"[[],{}]"),
    *(b'{"a":' * 50 + b"1" + b"}" * 50, b"[" * 900 + b"]" * 900, b"[" * 5000 + b"]" * 5000),
    *(b'"\\u001e"', b'"a\\u001fb"'),
    *(b'"0001-01-01 00:00:00"', b'"9999-12-31 23:59:59"', b'"000101000000"', b'"ESME_ROK"'),
    *('"ΐ"'.encode() * 1, ('"' + "ΐ" * 250 + '"').encode(), b'"UNDELIV"', b"12345", b'"0"'),
)
TEXTS = (
    "",
    "0",
    "DELIVRD",
    "ESME_ROK",
    "ESME_",
    "\0",
    "a\x1fb",
    "é" * 127,
    "x" * 255,
    "ΐ" * 120,
    "  ",
    "0" * 99,
)


def genuine(stream: str) -> list[Message]:
    """Return messages of one stream as Jasmin published them and as the contract has them."""
    prefix = PREFIXES[stream]
    published = [p for p in capture() if p.routing_key.startswith(prefix)]
    if stream == "dlr":
        published += [
            dlr("m1", status) for status in ("DELIVRD", "UNDELIV", "ESME_ROK", "ESME_RSYSERR")
        ]
    elif stream == "bill":
        published += [bill("m1", "b1"), bill("m2", "b2", "ESME_RSYSERR", "0.30000000000000004")]
    return [
        Message(p.exchange, p.routing_key, p.message_id, dict(p.headers), p.body) for p in published
    ]


def mutants(stream: str, count: int, seed: int) -> Iterator[Message]:
    """Yield messages that were changed in one to three places; the same ones for a seed."""
    rng = random.Random(f"{stream}-{seed}")
    originals = genuine(stream)
    for _ in range(count):
        message = rng.choice(originals)
        for _ in range(rng.choice((1, 1, 2, 3))):
            message = rng.choice(_MUTATIONS)(rng, message, rng.choice(originals))
        yield message


def _flip(rng: random.Random, message: Message, _: Message) -> Message:
    body = bytearray(message.body)
    for _ in range(rng.randint(1, 4) if body else 0):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return _with_body(message, bytes(body))


def _cut(rng: random.Random, message: Message, _: Message) -> Message:
    return _with_body(message, message.body[: rng.randint(0, len(message.body))])


def _splice(rng: random.Random, message: Message, other: Message) -> Message:
    head = message.body[: rng.randint(0, len(message.body))]
    return _with_body(message, head + other.body[rng.randint(0, len(other.body)) :])


def _insert(rng: random.Random, message: Message, _: Message) -> Message:
    at = rng.randint(0, len(message.body))
    piece = rng.choice(
        (b"\0", b"\xff", b"\xed\xa0\x80", b"\\u0000", b"\\ud800", b" ", b'"', b"{", b"\xef\xbb\xbf")
    )
    return _with_body(message, message.body[:at] + piece + message.body[at:])


def _replace_value(rng: random.Random, message: Message, _: Message) -> Message:
    """Put another value into a JSON body, somewhere, or the same key once more."""
    try:
        fields = json.loads(message.body)
    except (ValueError, RecursionError):
        return _with_body(message, rng.choice(JSON_VALUES))
    holder = fields
    while isinstance(holder, dict) and holder:
        name = rng.choice(list(holder))
        if not isinstance(holder[name], dict) or rng.random() < 0.2:
            holder[name] = "@"
            break
        holder = holder[name]
    text = json.dumps(fields, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    value = rng.choice(JSON_VALUES)
    if rng.random() < 0.2 and isinstance(fields, dict):  # the same key twice
        key = json.dumps(rng.choice(list(fields) or ["x"])).encode()
        text = b"{" + key + b":" + value + b"," + text[1:]
    return _with_body(message, text.replace(b'"@"', value))


def _change_header(rng: random.Random, message: Message, other: Message) -> Message:
    headers = dict(message.headers)
    names = [*headers, *other.headers, "type", "x-other"]
    headers[rng.choice(names)] = rng.choice(HEADER_VALUES)
    return msgspec.structs.replace(message, headers=headers)


def _nest_header(rng: random.Random, message: Message, other: Message) -> Message:
    if rng.random() < 0.9:  # slow to encode
        return _change_header(rng, message, other)
    value: Any = 1
    for _ in range(rng.choice((10, 100, 200, 260, 400))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return msgspec.structs.replace(message, headers={**message.headers, "x-nested": value})


def _drop_header(rng: random.Random, message: Message, _: Message) -> Message:
    dropped = rng.choice(list(message.headers)) if message.headers else ""
    kept = {name: value for name, value in message.headers.items() if name != dropped}
    return msgspec.structs.replace(message, headers=kept)


def _mix_headers(rng: random.Random, message: Message, other: Message) -> Message:
    mixed = {**message.headers, **other.headers}
    kept = {name: value for name, value in mixed.items() if rng.random() < 0.7}
    return msgspec.structs.replace(message, headers=kept)


def _change_id(rng: random.Random, message: Message, _: Message) -> Message:
    return msgspec.structs.replace(message, message_id=rng.choice((None, *TEXTS)))


def _change_text(rng: random.Random, message: Message, _: Message) -> Message:
    return _with_body(message, rng.choice(TEXTS).encode())


def _with_body(message: Message, body: bytes) -> Message:
    return msgspec.structs.replace(message, body=body)


Mutation = Callable[[random.Random, Message, Message], Message]
_MUTATIONS: tuple[Mutation, ...] = (
    *(_flip, _cut, _splice, _insert, _replace_value, _replace_value, _replace_value),
    *(_change_header, _change_header, _drop_header, _mix_headers, _change_id, _change_text),
    _nest_header,
)
