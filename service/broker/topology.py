"""Queues and exchanges: what is declared, and what an error in declaring it means.

Jasmin declares its exchanges as topic and not durable; declared in any other way first, they
break Jasmin. They vanish with their bindings when the broker restarts, so all of this is
declared again on every connect, and from time to time.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from shlex import quote
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aio_pika import ExchangeType
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from service.broker.connection import channel_of
from service.broker.errors import opening_channel
from service.exits import CannotStart
from service.settings import variable_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aio_pika.abc import AbstractConnection

    from service.settings import QueueType, Settings, Stream

MESSAGE_TTL_MS: Final = 24 * 60 * 60 * 1000
# As good as none, which 3.10 cannot be asked for. Without it RabbitMQ 4 gives up on a message of
# a quorum queue after 20 deliveries, be it a worker that was killed, a connection that was cut or
# somebody who looked at a dead letter. What fails is counted by this service itself.
DELIVERY_LIMIT: Final = 2_147_483_647


class Source(NamedTuple):
    """One of our queues, what of Jasmin's it is bound to, and how it is called.

    Attributes:
        stream: its name for metrics, logs and commands.
        section: of the settings. The same, but for submissions: what one wants is the capture.
        queue: its name in RabbitMQ.
        exchange: of Jasmin.
        binding: the key it is bound with.
    """

    stream: str
    section: str
    queue: str
    exchange: str
    binding: str

    @property
    def dead_queue(self) -> str:
        """Name of the queue where this one's dead letters are kept."""
        return f"{self.queue}.dead"


DLR: Final = Source("dlr", "dlr", "billing_service.dlr", "messaging", "dlr.#")
BILL: Final = Source(
    "bill", "bill", "billing_service.submit_sm_resp", "billing", "bill_request.submit_sm_resp.#"
)
# A connector's id has no dots (jasmin.protocols.smpp.configs), so that the operators' answers,
# submit.sm.resp.CID, stay out: dlr.submit_sm_resp has said already what they say.
SUBMIT: Final = Source("submit", "capture", "billing_service.submit", "messaging", "submit.sm.*")

STREAMS: Final[Mapping[str, Source]] = {source.stream: source for source in (DLR, BILL, SUBMIT)}


def sources_of(settings: Settings) -> dict[Source, Stream]:
    """Return the queues that are consumed with these settings, and how."""
    sources: dict[Source, Stream] = {DLR: settings.dlr, BILL: settings.bill}
    if settings.capture.enabled:
        sources[SUBMIT] = settings.capture
    return sources


def queue_arguments(source: Source, settings: Stream) -> dict[str, Any]:
    """Return the arguments of a queue as the specification wants them.

    What the time or length limit pushes out is dead-lettered by the broker itself, through the
    default exchange.
    """
    return {
        **_kind(settings.queue_type),
        "x-message-ttl": MESSAGE_TTL_MS,
        "x-max-length": settings.max_length,
        "x-overflow": "drop-head",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": source.dead_queue,
    }


def dead_queue_arguments(queue_type: QueueType) -> dict[str, Any]:
    """Return the arguments of a dead queue, where nothing is ever pushed out."""
    return _kind(queue_type)


def _kind(queue_type: QueueType) -> dict[str, Any]:
    if queue_type == "classic":
        return {"x-queue-type": queue_type}
    return {"x-queue-type": queue_type, "x-delivery-limit": DELIVERY_LIMIT}


async def declare(
    connection: AbstractConnection, sources: Mapping[Source, Stream]
) -> dict[str, int]:
    """Declare exchanges, queues and bindings.

    Returns:
        For each of our queues, dead queues included, how many messages wait in it.

    Raises:
        CannotStart: something exists with other arguments, or the user may not declare it.
    """
    waiting = {}
    for source, settings in sources.items():
        waiting[source.dead_queue] = await declare_dead_queue(
            connection, source, settings.queue_type
        )
        with _explaining(source), opening_channel():
            async with connection.channel() as channel:
                await channel.declare_exchange(source.exchange, ExchangeType.TOPIC)
                queue = await channel.declare_queue(
                    source.queue, durable=True, arguments=queue_arguments(source, settings)
                )
                await queue.bind(source.exchange, source.binding)
                waiting[source.queue] = queue.declaration_result.message_count or 0
    return waiting


async def unbind(connection: AbstractConnection, source: Source) -> None:
    """Let nothing more into a queue.

    Raises:
        CannotStart: the user may not.
    """
    with _explaining(source), suppress(ChannelNotFoundEntity):
        async with channel_of(connection) as channel:
            await channel.queue_unbind(source.queue, source.exchange, source.binding)


async def declare_dead_queue(
    connection: AbstractConnection, source: Source, queue_type: QueueType
) -> int:
    """Declare where a source's dead letters are kept; return how many there are.

    Raises:
        CannotStart: it exists with other arguments, or the user may not declare it.
    """
    with _explaining(source), opening_channel():
        async with connection.channel() as channel:
            queue = await channel.declare_queue(
                source.dead_queue, durable=True, arguments=dead_queue_arguments(queue_type)
            )
            return queue.declaration_result.message_count or 0


@contextmanager
def _explaining(source: Source) -> Iterator[None]:
    """Say what to do about the refusals of RabbitMQ."""
    try:
        yield
    except ChannelPreconditionFailed as error:
        raise CannotStart(explain_mismatch(str(error))) from error
    except ChannelAccessRefused as error:
        raise CannotStart(
            f"RabbitMQ refuses: {error}; give the user configure, write and read permission "
            f"on {source.queue}.* and on exchange {source.exchange}"
        ) from error


_MISMATCH = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '(?P<name>[^']+)'"
    r" in vhost '(?P<vhost>.+?)': ?"
    r"(?:received (?P<wanted>.+?) but current is (?P<found>.+?))?$",
    re.DOTALL,
)

# Which setting an argument comes from.
_SETTINGS: Final = {"x-queue-type": "queue_type", "x-max-length": "max_length"}

_TYPED_VALUE = re.compile(r"the value ('[^']*') of type '\w+'")
_GUIDE: Final = 'docs/operations.md, "Another queue"'
_DEAD_EMPTIED: Final = (
    "replay or remove what is in it (billing-service dlq replay or dlq purge; nothing reads back "
    "what dlq export writes)"
)


class Mismatch(NamedTuple):
    """What RabbitMQ says of something that exists with another argument than is declared.

    Attributes:
        argument: its name; one of several that differ.
        kind: queue or exchange.
        name: of the queue or exchange.
        vhost: the virtual host that it is in.
        wanted: what is declared; None where RabbitMQ does not say.
        found: what it has: none, or a value in quotes; likewise.
    """

    argument: str
    kind: str
    name: str
    vhost: str
    wanted: str | None
    found: str | None


def mismatch(text: str) -> Mismatch | None:
    """Read a refusal of RabbitMQ; None where it is about something else."""
    read = _MISMATCH.search(_TYPED_VALUE.sub(r"\1", text))
    return Mismatch(**read.groupdict()) if read else None


def explain_mismatch(text: str) -> str:
    """Say which argument differs and what to do about it, so that no event is lost by that."""
    read = mismatch(text)
    if read is None:
        return f"RabbitMQ refuses the topology: {text}"
    remedy = _exchange_remedy if read.kind == "exchange" else _queue_remedy
    return (
        f"{read.kind} {read.name} exists with another {read.argument}: it has "
        f"{read.found or 'something else'}, this service declares {read.wanted or 'another value'}"
        f". {remedy(read)}"
    )


def _exchange_remedy(read: Mismatch) -> str:
    return (
        "Jasmin needs it as topic, not durable, not auto-delete: stop who declared it otherwise, "
        f"delete it (rabbitmqadmin --vhost {quote(read.vhost)} delete exchange name={read.name}) "
        "and restart Jasmin"
    )


def _queue_remedy(read: Mismatch) -> str:
    """Say how to start with the queue as it is; how to have another one without losing events."""
    source = next(s for s in STREAMS.values() if read.name in {s.queue, s.dead_queue})
    is_dead = read.name == source.dead_queue
    setting, old = _SETTINGS.get(read.argument), _value_of_setting(read)
    if setting and old:
        emptied = f", {_DEAD_EMPTIED}, and let {source.queue}" if is_dead else " and let the queue"
        return (
            f"Set {source.section}.{setting} ({variable_of(source.section, setting)}) back to "
            f"{old} and start. To change it, first stop Jasmin{emptied} run empty: {_GUIDE}"
        )
    emptied = _DEAD_EMPTIED if is_dead else "let what has consumed it so far empty it"
    return (
        f"No setting allows that. Stop Jasmin, {emptied}, delete it "
        f"({deletion(read.vhost, read.name)}) and start: {_GUIDE}"
    )


def deletion(vhost: str, queue: str) -> str:
    """Return the command that deletes a queue."""
    return f"rabbitmqctl delete_queue -p {quote(vhost)} {queue}"


def _value_of_setting(read: Mismatch) -> str | None:
    """Return what a setting must be for the queue to be as it is; None where that cannot be."""
    if read.found is None:
        return "what it was"
    if read.found == "none":
        return "classic" if read.argument == "x-queue-type" else None
    return read.found.strip("'")
