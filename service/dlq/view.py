"""Shows dead letters: to people, and as JSON; without what people said, and to whom."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import orjson
from rich.table import Table
from rich.text import Text

from service.broker import marks
from service.events.message import NO_MESSAGE_ID, ROUTING_KEY
from service.quantities import quantity

if TYPE_CHECKING:
    from rich.console import Console

    from service.dlq.actions import Listing
    from service.dlq.letter import Letter

HIDDEN: Final = "(hidden; --reveal shows it)"
_MARKS = {marks.STREAM, marks.REASON, marks.TIME, marks.EXCHANGE, ROUTING_KEY, NO_MESSAGE_ID}
# What a subscriber wrote. An operator may quote its beginning in a receipt.
_TEXTS = frozenset({"text", "dlr_text", "short_message", "message_payload", "content"})
# Identifiers and dates, digits though they may be.
_PLAIN = re.compile(
    "message_id|smpp_msgid|bid|id|uid|user-id|cid|connector_id|amount|sub|dlvrd|submit_date|done_date"
    "|err|created_at|dlr_(id|sub|dlvrd|sdate|ddate|err)"
)
_NUMBER = re.compile(r"(?<![\w.-])\+?\d{4,12}(\d{3})(?![\w.-])")
_MASK = r"****\1"
# As Jasmin's own bodies are: a status, or a bill's id.
_TOKEN = re.compile(r"[A-Za-z_]\w{0,40}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def printable(text: str) -> str:
    """Return a text of strangers without anything that a terminal would obey."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def masked(text: str) -> str:
    """Return a text with what may be phone numbers masked, but for the last three digits."""
    return _NUMBER.sub(_MASK, text)


def print_listing(console: Console, listing: Listing) -> None:
    """Print counts by stream and reason, then the letters."""
    for queue in listing.missing:
        console.print(f"{queue}: there is no such queue yet; billing-service run declares it")
    if not listing.counts:
        console.print("no dead letters" if not listing.missing else "nothing else")
        return
    counts = Table("stream", "reason", box=None)
    counts.add_column("letters", justify="right")
    for (stream, reason), number in listing.counts.most_common():
        counts.add_row(stream, _cell(reason), f"{number:,}")
    console.print(counts)
    console.print()
    if listing.letters:
        console.print(_letters(listing))
    more = listing.counts.total() - len(listing.letters)
    if more:
        console.print(f"and {more:,} more (--limit)")


def listing_as_json(listing: Listing) -> str:
    """Return counts and letters as one JSON object."""
    return orjson.dumps(
        {
            "total": listing.counts.total(),
            "counts": [
                {"stream": stream, "reason": masked(reason), "letters": number}
                for (stream, reason), number in listing.counts.most_common()
            ],
            "letters": [_summary(letter) for letter in listing.letters],
            "missing_queues": listing.missing,
        },
        option=orjson.OPT_INDENT_2,
    ).decode()


def as_text(letter: Letter, *, reveal: bool) -> str:
    """Return everything about one letter."""
    return "\n".join(printable(text) for text in _lines(letter, reveal))


def _letters(listing: Listing) -> Table:
    table = Table("id", "dead since (UTC)", "stream", box=None, header_style="bold")
    table.add_column("reason", overflow="fold", ratio=2)
    table.add_column("routing key", overflow="fold", ratio=1)
    table.add_column("message id", overflow="fold", ratio=1)
    table.add_column("bytes", justify="right")
    for letter in listing.letters:
        row = _summary(letter)
        cells = [_cell(str(row[name] or "-")) for name in ("reason", "routing_key", "message_id")]
        table.add_row(letter.id, letter.time or "-", letter.stream, *cells, f"{row['bytes']:,}")
    return table


def _cell(text: str) -> Text:
    return Text(printable(masked(text)))


def _summary(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "dead_at": letter.death.at,
        "stream": letter.stream,
        "reason": masked(letter.death.reason),
        "exchange": letter.death.exchange,
        "routing_key": letter.death.routing_key,
        "message_id": letter.message.message_id,
        "bytes": len(letter.message.body),
    }


def _lines(letter: Letter, reveal: bool) -> Iterator[str]:
    death = letter.death
    reason = death.reason if reveal else masked(death.reason)
    yield f"id           {letter.id}"
    yield f"stream       {letter.stream}"
    yield f"reason       {reason}"
    yield f"dead since   {letter.time + ' UTC' if death.at else 'unknown'}"
    yield f"exchange     {death.exchange}"
    yield f"routing key  {death.routing_key}"
    yield f"message id   {letter.message.message_id or '-'}"
    yield "headers"
    for name, value in sorted(letter.message.headers.items()):
        if name not in _MARKS:
            shown = {name: value} if reveal else _hiding("", {name: value})
            yield f"  {json.dumps(shown, default=_octets, ensure_ascii=False)[1:-1]}"
    yield f"body         {quantity(len(letter.message.body), 'byte')}"
    yield from (f"  {text}" for text in _body(letter.message.body, reveal).splitlines())


def _body(body: bytes, reveal: bool) -> str:
    """Return a body to be read; what is neither JSON nor a short word may be anything."""
    try:
        content = json.loads(body, parse_float=str, parse_constant=str)
        if isinstance(content, dict):
            content = content if reveal else _hiding("", content)
            return json.dumps(content, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        pass
    text = body.decode(errors="backslashreplace")
    return text if reveal or _TOKEN.fullmatch(text) or not text else HIDDEN


def _hiding(name: str, value: Any) -> Any:
    """Return a header or a field as it may be shown to anyone."""
    if name.lower() in _TEXTS:
        return HIDDEN
    if isinstance(value, dict):
        return {masked(inner): _hiding(inner, item) for inner, item in value.items()}
    if isinstance(value, list):
        return [_hiding(name, item) for item in value]
    if isinstance(value, bytes | bytearray):
        return HIDDEN
    if _PLAIN.fullmatch(name) or not isinstance(value, str | int) or isinstance(value, bool):
        return value
    text = masked(str(value))
    return value if text == str(value) else text


def _octets(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="backslashreplace")
    return str(value)
