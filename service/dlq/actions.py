"""What can be done with dead letters: list, replay, export, purge.

Each walks through the dead queues and gives back what it has not removed, also when it is
interrupted; a message is removed only when nothing can be lost by it any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import orjson
from aiormq.exceptions import PublishError

from service.broker import marks
from service.broker.connection import channel_of
from service.broker.publisher import Publisher
from service.dlq.queue import DeadQueue, waiting
from service.events.message import to_json
from service.reasons import reason

if TYPE_CHECKING:
    from typing import BinaryIO

    from aio_pika import Message as AmqpMessage
    from aio_pika.abc import AbstractConnection

    from service.broker.topology import Source
    from service.dlq.letter import Letter
    from service.dlq.selection import Selection

# Told of each step: the stream, how many messages there are, how many more have been looked at.
Tell = Callable[[str, int, int], None]

# A queue that is fuller than this is given no more, or it would push out its oldest.
FULL_SHARE = 0.5
# How long it may stay so, unread.
ROOM_SECONDS = 30.0
ROOM_INTERVAL_SECONDS = 1.0
# Reasons can be as many as messages; beyond this they are counted together.
MAX_REASONS = 1000
OTHER_REASONS = "(other reasons)"


class Halted(Exception):
    """It cannot go on; the text says why and what to do."""


class CannotWrite(Exception):
    """What an export is written to takes no more; the text says why."""


class Listing(NamedTuple):
    """What is in the dead queues.

    Attributes:
        counts: number of letters by stream and reason.
        letters: the oldest of each queue, as many as were asked for.
        missing: dead queues that do not exist.
    """

    counts: Counter[tuple[str, str]]
    letters: list[Letter]
    missing: list[str]


class Tally:
    """How far an action has come, also when it ends early.

    Attributes:
        done: letters that were replayed, exported or purged, or would have been.
        kept: letters that were selected and cannot be replayed.
    """

    def __init__(self) -> None:
        self.done = 0
        self.kept = 0


async def walk(
    connection: AbstractConnection, selection: Selection, tell: Tell
) -> AsyncGenerator[tuple[DeadQueue, list[Letter]], None]:
    """Yield the selected letters, some at a time, with the queue that they are in."""
    left = selection.limit
    for stream, source in selection.sources.items():
        size = await waiting(connection, source.dead_queue)
        if not size:
            continue
        async with channel_of(connection) as channel:
            queue = DeadQueue(channel, stream, source, size)
            async for chunk in queue.letters():
                found = [letter for letter in chunk if selection.takes(letter)][:left]
                if found:
                    yield queue, found
                tell(stream, size, len(chunk))
                if left is not None:
                    left -= len(found)
                    if not left:
                        return


async def look(
    connection: AbstractConnection, selection: Selection, rows: int | None, tell: Tell
) -> Listing:
    """Count what is selected, and keep the first so many; all of them stay where they are."""
    missing = [
        source.dead_queue
        for source in selection.sources.values()
        if await waiting(connection, source.dead_queue) is None
    ]
    listing = Listing(Counter(), [], missing)
    async with aclosing(walk(connection, selection, tell)) as found:
        async for _, letters in found:
            for letter in letters:
                key = (letter.stream, letter.death.reason)
                if key not in listing.counts and len(listing.counts) >= MAX_REASONS:
                    key = (letter.stream, OTHER_REASONS)
                listing.counts[key] += 1
                if rows is None or len(listing.letters) < rows:
                    listing.letters.append(letter)
    return listing


async def replay(
    connection: AbstractConnection,
    publishing: AbstractConnection,
    selection: Selection,
    tally: Tally,
    *,
    limits: Mapping[Source, int],
    tell: Tell,
    note: Callable[[str], None],
) -> None:
    """Put the selected letters into our own queue, and only then take them out of the dead one.

    Interrupted in between, a message is in both: it will be applied and change nothing twice.
    ``limits`` says how many messages each of our queues holds before it pushes out its oldest.

    Raises:
        Halted: our queue does not take them.
    """
    publisher = await Publisher.open(publishing)
    async with aclosing(walk(connection, selection, tell)) as found:
        async for queue, letters in found:
            await _room(connection, queue.source, limits[queue.source], note)
            messages = _replayable(letters)
            tally.kept += len(letters) - len(messages)
            answers = await publisher.offer(
                queue.source.queue, [message for _, message in messages]
            )
            taken = [
                letter
                for (letter, _), refusal in zip(messages, answers, strict=True)
                if refusal is None
            ]
            await queue.remove(taken)
            tally.done += len(taken)
            for refusal in filter(None, answers):
                raise Halted(_why(queue.source, is_gone=isinstance(refusal, PublishError)))


async def export(
    connection: AbstractConnection,
    selection: Selection,
    file: BinaryIO,
    tally: Tally,
    tell: Tell,
) -> None:
    """Write the selected letters as JSON Lines; all of them stay where they are.

    Raises:
        CannotWrite: the file takes no more.
    """
    async with aclosing(walk(connection, selection, tell)) as found:
        async for _, letters in found:
            try:
                file.writelines(line(letter) for letter in letters)
            except OSError as error:  # not to be taken for one of the connection
                raise CannotWrite(reason(error)) from error
            tally.done += len(letters)


async def purge(
    connection: AbstractConnection, selection: Selection, tally: Tally, tell: Tell
) -> None:
    """Remove the selected letters for good."""
    async with aclosing(walk(connection, selection, tell)) as found:
        async for queue, letters in found:
            await queue.remove(letters)
            tally.done += len(letters)


async def count(
    connection: AbstractConnection, selection: Selection, tally: Tally, tell: Tell
) -> None:
    """Only count them, as if they were replayed or purged."""
    async with aclosing(walk(connection, selection, tell)) as found:
        async for _, letters in found:
            tally.kept += len(letters) - len(_replayable(letters))
            tally.done += len(letters)


def line(letter: Letter) -> bytes:
    """Return a letter as a line of JSON; octets that are no text are in base64."""
    message = orjson.loads(to_json(letter.message))
    death = letter.death
    return orjson.dumps(
        {
            "id": letter.id,
            "stream": letter.stream,
            "reason": death.reason,
            "dead_at": death.at,
            "exchange": death.exchange,
            "routing_key": death.routing_key,
            "message_id": message["message_id"],
            "headers": message["headers"],
            "body": message["body"],
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def _replayable(letters: list[Letter]) -> list[tuple[Letter, AmqpMessage]]:
    messages = []
    for letter in letters:
        try:
            messages.append((letter, marks.unmark(letter.message, letter.death)))
        except marks.HeadersLost:
            continue
    return messages


async def _room(
    connection: AbstractConnection, source: Source, limit: int, note: Callable[[str], None]
) -> None:
    """Wait while our queue is so full that it would push out its oldest messages.

    Raises:
        Halted: nobody reads it, or there is none.
    """
    clock = asyncio.get_running_loop().time
    full = limit * FULL_SHARE
    least, since = None, clock()
    while (held := await waiting(connection, source.queue)) is None or held >= full:
        if held is None:
            raise Halted(_why(source, is_gone=True))
        if least is None:
            note(f"{source.queue} holds {held:,} messages; waiting until it has room")
        if least is None or held < least:
            least, since = held, clock()
        elif clock() - since > ROOM_SECONDS:
            raise Halted(
                f"{source.queue} holds {held:,} messages and gets no emptier; start "
                "billing-service run, and replay the rest then"
            )
        await asyncio.sleep(ROOM_INTERVAL_SECONDS)


def _why(source: Source, *, is_gone: bool) -> str:
    if is_gone:
        return f"there is no queue {source.queue}; billing-service run declares it"
    return (
        f"{source.queue} is full, and a policy of overflow reject-publish lets nothing in; start "
        "billing-service run, and replay the rest then"
    )
