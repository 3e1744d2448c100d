"""One connection to RabbitMQ, for one session, and plain channels on it."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aio_pika
import structlog
from aiormq.exceptions import (
    AMQPConnectionError,
    AuthenticationError,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from service import tls
from service.addresses import Address, Turns
from service.broker.errors import (
    OUTAGES,
    HeldTooLong,
    SessionLost,
    Unreachable,
    opening_channel,
)
from service.broker.transport import PeelingConnection
from service.exits import CannotStart
from service.reasons import reason

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection
    from aiormq.abc import AbstractChannel

    from service.settings import Jasmin

# For each address.
CONNECT_SECONDS = 10.0

log = structlog.get_logger()


def in_turn(settings: Jasmin) -> Turns[Address]:
    """Return the addresses in an order of chance, so that workers spread over them."""
    addresses = settings.addresses
    return Turns(random.sample(addresses, len(addresses)))


@asynccontextmanager
async def connect(
    settings: Jasmin, name: str, addresses: Turns[Address] | None = None
) -> AsyncIterator[PeelingConnection]:
    """Connect to the first address that answers, and close at the end.

    A plain connection, not aio-pika's robust one: a session that is lost ends visibly, so that
    no delivery tag of it can be taken for one of the next.

    Args:
        settings: how to speak with the broker.
        name: what RabbitMQ's management shows for this connection.
        addresses: where it is, by default as :func:`in_turn` says. One that fails, now or in the
            session, is put last, so that the next session with them begins at another.

    Raises:
        CannotStart: the broker refuses the user, the password or the virtual host; or one side
            does not speak TLS, or does not trust the other.
        Unreachable: it is away.
    """
    addresses = addresses or in_turn(settings)
    connection = await _connect_to_any(settings, name, addresses)
    async with connection:
        try:
            yield connection
        except HeldTooLong:  # for which the broker can do nothing
            raise
        except OUTAGES:
            addresses.failed(connection.address)
            raise


async def _connect_to_any(
    settings: Jasmin, name: str, addresses: Turns[Address]
) -> PeelingConnection:
    """Try each address once. What one refuses for good outweighs that others are away."""
    failures: list[Exception] = []
    for address in addresses:
        try:
            connection = await _connect_to(address, settings, name)
        except (CannotStart, *OUTAGES) as error:
            failures.append(error)
            addresses.failed(address)
        else:
            for failure in failures:
                log.warning("an address of RabbitMQ is passed over", error=str(failure))
            return connection
    for failure in failures:
        if isinstance(failure, CannotStart):
            raise failure
    raise Unreachable("; ".join(map(str, failures))) from failures[-1]


async def _connect_to(address: Address, settings: Jasmin, name: str) -> PeelingConnection:
    """Connect to one address.

    Raises:
        CannotStart: it refuses for good.
        ConnectionError: it is away; the text says which, and how.
    """
    try:
        connection = await _handshake(address, settings, name)
    except TimeoutError as error:
        raise ConnectionError(f"{address}: no answer within {CONNECT_SECONDS:g} s") from error
    except OUTAGES as error:
        raise ConnectionError(f"{address}: {reason(error)}") from error
    connection.address = address
    return connection


async def _handshake(address: Address, settings: Jasmin, name: str) -> PeelingConnection:
    try:
        return await aio_pika.connect(
            host=address.host,
            port=address.port,
            ssl=settings.amqp_tls,
            ssl_context=_tls_context(settings) if settings.amqp_tls else None,
            login=settings.amqp_user,
            password=settings.amqp_password.get_secret_value(),
            virtualhost=settings.amqp_vhost,
            heartbeat=settings.amqp_heartbeat,
            client_properties={"connection_name": name},
            timeout=CONNECT_SECONDS,
            connection_class=PeelingConnection,
        )
    except (AuthenticationError, ProbableAuthenticationError) as error:
        raise CannotStart(
            f"RabbitMQ refuses user {settings.amqp_user!r} at {address}: check jasmin.amqp_user "
            "and jasmin.amqp_password (BILLING_JASMIN_AMQP_USER, BILLING_JASMIN_AMQP_PASSWORD)"
        ) from error
    except StopAsyncIteration as error:
        # All that aiormq tells when the connection ends in the middle of the handshake, as behind
        # a proxy or a load balancer whose broker is away.
        raise ConnectionError("RabbitMQ closed the connection during the handshake") from error
    except InvalidFrameError as error:
        # All that aiormq tells when the broker answers connection.open with connection.close.
        if "Connection.OpenOk" not in str(error):
            raise
        raise CannotStart(
            f"RabbitMQ refuses virtual host {settings.amqp_vhost!r} at {address}: there is none of "
            f"that name, or user {settings.amqp_user!r} has no permission on it, or its connection "
            "limit is reached; check jasmin.amqp_vhost (BILLING_JASMIN_AMQP_VHOST)"
        ) from error
    except AMQPConnectionError as error:
        if problem := await _tls_problem(address, settings, error.__cause__):
            raise CannotStart(problem) from error
        raise


def server_version(connection: PeelingConnection) -> str:
    """What the broker calls its version, for example 4.0.5; empty where it says nothing."""
    transport = connection.transport
    return str(transport.connection.server_properties.get("version", "")) if transport else ""


@asynccontextmanager
async def channel_of(connection: AbstractConnection) -> AsyncIterator[AbstractChannel]:
    """Open a channel; its end gives back what was taken on it and not acknowledged."""
    transport = connection.transport
    if transport is None:
        raise SessionLost("connection closed")
    with opening_channel():
        channel = await transport.connection.channel(publisher_confirms=False)
    try:
        yield channel
    finally:
        await channel.close()


def _tls_context(settings: Jasmin) -> ssl.SSLContext:
    files = tls.Files(settings.amqp_ca_file, settings.amqp_cert_file, settings.amqp_key_file)
    try:
        return tls.context(files)
    except tls.UnusableFile as error:  # it was usable when the settings were read
        raise CannotStart(f"jasmin.amqp_{error.which}_file: {error}") from error


async def _tls_problem(
    address: Address, settings: Jasmin, error: BaseException | None
) -> str | None:
    """Say what to change where a connection failed for a reason that waiting will not mend."""
    there = f"RabbitMQ at {address}"
    if isinstance(error, ssl.SSLError) and settings.amqp_tls:
        match tls.diagnose(error):
            case tls.Problem.HOST:
                return (
                    f"{there} has a certificate for another name: {tls.reason(error)}; name it in "
                    "jasmin.amqp_host (BILLING_JASMIN_AMQP_HOST) as its certificate does"
                )
            case tls.Problem.TRUST:
                return (
                    f"the certificate of {there} cannot be trusted: {tls.reason(error)}; set "
                    "jasmin.amqp_ca_file (BILLING_JASMIN_AMQP_CA_FILE) to the authority that "
                    "issued it"
                )
            case tls.Problem.NO_TLS:
                return (
                    f"{there} does not speak TLS on this port: set {_port_setting(settings)} to "
                    "that of its TLS listener, or jasmin.amqp_tls (BILLING_JASMIN_AMQP_TLS) to "
                    "false"
                )
            case tls.Problem.REFUSED:
                return (
                    f"{there} refuses the TLS session: {tls.reason(error)}; check "
                    "jasmin.amqp_cert_file (BILLING_JASMIN_AMQP_CERT_FILE)"
                )
    is_cut = isinstance(error, ConnectionResetError | asyncio.IncompleteReadError)
    if is_cut and not settings.amqp_tls and await _speaks_tls(address):
        return (
            f"{there} speaks TLS on this port: set jasmin.amqp_tls (BILLING_JASMIN_AMQP_TLS) to "
            f"true, or {_port_setting(settings)} to a port without"
        )
    return None


def _port_setting(settings: Jasmin) -> str:
    """Name where the ports come from."""
    if all(address.port == settings.amqp_port for address in settings.addresses):
        return "jasmin.amqp_port (BILLING_JASMIN_AMQP_PORT)"
    return "its port in jasmin.amqp_host (BILLING_JASMIN_AMQP_HOST)"


async def _speaks_tls(address: Address) -> bool:
    """Ask a port that hung up on AMQP; nothing is said in that session."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(
                address.host, address.port, ssl=tls.unverified()
            )
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
