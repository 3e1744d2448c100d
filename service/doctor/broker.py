"""What AMQP tells of RabbitMQ: link, exchanges, queues, privileges, who consumes, what waits."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource

from service.broker import probes
from service.broker.depth import Depth, Missing, depth
from service.broker.errors import OUTAGES
from service.broker.topology import dead_queue_arguments, queue_arguments, sources_of
from service.doctor.finding import Finding, ok, problem, unknown, warning
from service.doctor.nodes import reach
from service.quantities import quantity
from service.reasons import reason
from service.versions import is_old_rabbitmq

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from aio_pika.abc import AbstractConnection

    from service.broker.topology import Source
    from service.broker.transport import PeelingConnection
    from service.settings import Jasmin, Settings, Stream

    Sources = Mapping[Source, Stream]
    Attempt = Callable[[AbstractConnection], Awaitable[object]]

DECLARED_BY_RUN: Final = "start the service: billing-service run declares it"
# Shares of max_length at which a queue is filling, as the alert has it, and worth a look.
FILLING: Final = 0.5
BEHIND: Final = 0.1
# Jasmin's router consumes its own bills from this queue for as long as it is connected.
JASMINS_QUEUE: Final = "RouterPB_bill_request_submit_sm_resp_all"


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is found, without changing anything."""
    connections: list[PeelingConnection] = []
    try:
        async with AsyncExitStack() as session:
            connections, failures = await reach(session, settings.jasmin)
            for connection in connections:
                for finding in _version(connection, settings):
                    yield finding
            for finding in failures:
                yield finding
            if connections:  # what follows is the same wherever in a cluster it is asked
                async for finding in _examine(connections[0], settings):
                    yield finding
    except OUTAGES as error:
        says = f"RabbitMQ at {connections[0].address} went away meanwhile: {reason(error)}"
        yield problem("broker", says)


async def _examine(connection: AbstractConnection, settings: Settings) -> AsyncIterator[Finding]:
    sources: Sources = sources_of(settings)
    yield _exposure(settings.jasmin)
    for check in (_exchanges, _queues, _dead_queues, _jasmin):
        async for finding in check(connection, sources):
            yield finding
    yield await _privileges(connection, sources, settings.jasmin)


def _version(connection: PeelingConnection, settings: Settings) -> Iterator[Finding]:
    """Say who answers, and whether it is too old for the queues that are wanted."""
    jasmin = settings.jasmin
    told = connection.transport.connection.server_properties if connection.transport else {}
    product, version = str(told.get("product", "broker")), str(told.get("version", "0"))
    yield ok(
        "broker",
        f"{product} {version} at {connection.address} takes user {jasmin.amqp_user!r} on virtual "
        f"host {jasmin.amqp_vhost!r}",
    )
    types = {settings.dlr.queue_type, settings.bill.queue_type}
    if is_old_rabbitmq(version) and "quorum" in types:
        yield problem(
            "broker_version",
            f"quorum queues of {product} {version} at {connection.address} have no time limit",
            "install 3.10 or later, or set dlr.queue_type and bill.queue_type "
            "(BILLING_DLR_QUEUE_TYPE, BILLING_BILL_QUEUE_TYPE) to classic",
        )


def _exposure(jasmin: Jasmin) -> Finding:
    """Say whether others could listen."""
    if jasmin.amqp_tls:
        return ok("broker_tls", "TLS; certificate and host name are verified")
    if jasmin.is_exposed:
        return warning(
            "broker_tls",
            f"what is said to {jasmin.amqp_host} can be read and forged on the way",
            "set jasmin.amqp_tls (BILLING_JASMIN_AMQP_TLS) to true",
        )
    return ok("broker_tls", "no TLS, and none is needed on this machine")


async def _exchanges(connection: AbstractConnection, sources: Sources) -> AsyncIterator[Finding]:
    """Compare Jasmin's exchanges with what Jasmin declares."""
    for source in sources:
        name = source.exchange
        try:
            difference = await probes.exchange_difference(connection, name)
        except Missing:
            yield warning(
                "exchange",
                f"exchange {name} is not there: neither Jasmin nor this service has been connected "
                "since RabbitMQ started",
                "billing-service run declares it; then see that Jasmin is connected to this broker "
                "and virtual host",
            )
        except ChannelAccessRefused:
            yield unknown("exchange", f"exchange {name} cannot be compared without privileges")
        else:
            if difference:
                yield problem("exchange", difference)
            else:
                yield ok("exchange", f"exchange {name}: topic, not durable, not auto-delete")


async def _queues(connection: AbstractConnection, sources: Sources) -> AsyncIterator[Finding]:
    """Compare our queues with the settings; look at who consumes and what waits."""
    for source, stream in sources.items():
        name = source.queue
        found = await _look(connection, name)
        if found is None:
            says = f"queue {name} is not there: what Jasmin publishes is lost"
            yield problem("queue", says, DECLARED_BY_RUN)
            continue
        if isinstance(found, Finding):
            yield found
            continue
        yield await _compared(connection, name, queue_arguments(source, stream))
        yield _consumed(name, found)
        yield _waiting(name, found, stream.max_length)


async def _look(connection: AbstractConnection, name: str) -> Depth | Finding | None:
    """Look at a queue; None where it is not there, a finding where that is refused."""
    try:
        return await depth(connection, name)
    except Missing:
        return None
    except (ChannelAccessRefused, ChannelLockedResource) as error:
        return unknown("queue", f"queue {name} cannot be looked at: {error}")


async def _compared(
    connection: AbstractConnection, name: str, arguments: Mapping[str, object]
) -> Finding:
    try:
        difference = await probes.queue_difference(connection, name, arguments)
    except Missing:
        return warning("queue", f"queue {name} has just been deleted", "look again")
    except ChannelAccessRefused:
        return unknown("queue", f"queue {name} cannot be compared without privileges")
    if difference:
        return problem("queue", difference)
    return ok("queue", f"queue {name}: type, limits and dead letters as the settings say")


def _consumed(name: str, found: Depth) -> Finding:
    if found.consumers:
        return ok("consumers", f"queue {name}: {quantity(found.consumers, 'consumer')}")
    says = f"queue {name}: nobody consumes"
    remedy = "start billing-service run, or read in its log why it does not consume"
    return (problem if found.waiting else warning)("consumers", says, remedy)


def _waiting(name: str, found: Depth, max_length: int) -> Finding:
    waiting = quantity(found.waiting, "message waits", "messages wait")
    says = f"queue {name}: {waiting}, of {max_length:,} that it holds"
    if found.waiting >= FILLING * max_length:
        return problem(
            "waiting",
            f"{says}; then the oldest become dead letters",
            "if there are consumers, add workers (docs/operations.md, Signals) or another host",
        )
    if found.waiting >= BEHIND * max_length:
        return warning(
            "waiting",
            says,
            "see that it shrinks; if not, add workers (docs/operations.md, Signals)",
        )
    return ok("waiting", says)


async def _dead_queues(connection: AbstractConnection, sources: Sources) -> AsyncIterator[Finding]:
    """Compare the dead queues, and count the dead letters; only dlq list can tell their age."""
    for source, settings in sources.items():
        name = source.dead_queue
        found = await _look(connection, name)
        if found is None:
            says = f"queue {name} is not there: what the broker pushes out is lost"
            yield warning("dead_letters", says, DECLARED_BY_RUN)
            continue
        if isinstance(found, Finding):
            yield found
            continue
        yield await _compared(connection, name, dead_queue_arguments(settings.queue_type))
        if found.waiting:
            yield warning(
                "dead_letters",
                f"queue {name}: {quantity(found.waiting, 'dead letter')}",
                f"billing-service dlq list --stream {source.stream} tells their reasons and since "
                "when, the oldest first",
            )
        else:
            yield ok("dead_letters", f"queue {name}: no dead letters")


async def _jasmin(connection: AbstractConnection, _: Sources) -> AsyncIterator[Finding]:
    """Look whether Jasmin is connected to this very broker and virtual host."""
    says = "Jasmin is not connected to this broker and virtual host"
    try:
        consumers = (await depth(connection, JASMINS_QUEUE)).consumers
    except Missing:
        consumers = 0
    except ChannelLockedResource:
        consumers = 1
    except ChannelAccessRefused:
        yield unknown("jasmin", f"no privilege to see whether {JASMINS_QUEUE} has a consumer")
        return
    if consumers:
        yield ok("jasmin", "Jasmin's router is connected to this broker and virtual host")
    else:
        yield warning(
            "jasmin",
            f"{says}: queue {JASMINS_QUEUE} has no consumer",
            "start jasmind, or compare host, port and vhost of [amqp-broker] in jasmin.cfg with "
            "jasmin.amqp_host, amqp_port and amqp_vhost (--jasmin-config FILE does that)",
        )


async def _privileges(connection: AbstractConnection, sources: Sources, jasmin: Jasmin) -> Finding:
    """Try whatever the service does in a way that cannot succeed."""
    refused = []
    for source, stream in sources.items():
        for right, attempt in _rights(source, stream):
            try:
                await attempt(connection)
            except Missing:
                continue
            except ChannelAccessRefused:
                refused.append(right)
    try:
        await probes.try_publishing(connection)
    except ChannelAccessRefused:
        refused.append("write on exchange amq.default")
    if not refused:
        return ok("broker_privileges", "the user may configure, write and read all that it must")
    return problem(
        "broker_privileges",
        f"RabbitMQ refuses user {jasmin.amqp_user!r} on virtual host {jasmin.amqp_vhost!r}: "
        + ", ".join(refused),
        "grant them with rabbitmqctl set_permissions, which replaces what there is: "
        f"rabbitmqctl list_permissions -p {jasmin.amqp_vhost} shows that",
    )


def _rights(source: Source, stream: Stream) -> Iterator[tuple[str, Attempt]]:
    """Yield what the service must be allowed, and how to try it."""
    exchange = source.exchange
    declared = {
        source.queue: queue_arguments(source, stream),
        source.dead_queue: dead_queue_arguments(stream.queue_type),
    }
    yield (
        f"configure on exchange {exchange}",
        partial(probes.exchange_difference, exchange=exchange),
    )
    yield (
        f"write on {source.queue} or read on exchange {exchange}",
        partial(probes.try_binding, source=source),
    )
    for queue, arguments in declared.items():
        yield (
            f"configure on {queue}",
            partial(probes.queue_difference, queue=queue, arguments=arguments),
        )
        yield f"read on {queue}", partial(probes.try_reading, queue=queue)
