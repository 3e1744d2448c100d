"""One connection to RabbitMQ, for one session, and plain channels on it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aio_pika
from aiormq.exceptions import (
    AMQPConnectionError,
    AuthenticationError,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from service import tls
from service.broker.errors import SessionLost, opening_channel
from service.broker.transport import PeelingConnection
from service.exits import CannotStart

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection
    from aiormq.abc import AbstractChannel

    from service.settings import Jasmin

CONNECT_SECONDS = 10


@asynccontextmanager
async def connect(settings: Jasmin, name: str) -> AsyncIterator[PeelingConnection]:
    """Connect, and close at the end.

    A plain connection, not aio-pika's robust one: a session that is lost ends visibly, so that
    no delivery tag of it can be taken for one of the next.

    Args:
        settings: where the broker is.
        name: what RabbitMQ's management shows for this connection.

    Raises:
        CannotStart: the broker refuses the user, the password or the virtual host; or one side
            does not speak TLS, or does not trust the other.
        AMQPError, OSError, TimeoutError: it is away.
    """
    try:
        connection = await aio_pika.connect(
            host=settings.amqp_host,
            port=settings.amqp_port,
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
            f"RabbitMQ refuses user {settings.amqp_user!r}: check jasmin.amqp_user and "
            "jasmin.amqp_password (BILLING_JASMIN_AMQP_USER, BILLING_JASMIN_AMQP_PASSWORD)"
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
            f"RabbitMQ refuses virtual host {settings.amqp_vhost!r}: there is none of that name, "
            f"or user {settings.amqp_user!r} has no permission on it, or its connection limit is "
            "reached; check jasmin.amqp_vhost (BILLING_JASMIN_AMQP_VHOST)"
        ) from error
    except AMQPConnectionError as error:
        if problem := await _tls_problem(settings, error.__cause__):
            raise CannotStart(problem) from error
        raise
    async with connection:
        yield connection


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


async def _tls_problem(settings: Jasmin, error: BaseException | None) -> str | None:
    """Say what to change where a connection failed for a reason that waiting will not mend."""
    there = f"RabbitMQ at {settings.amqp_host}:{settings.amqp_port}"
    if isinstance(error, ssl.SSLError) and settings.amqp_tls:
        match tls.diagnose(error):
            case tls.Problem.HOST:
                return (
                    f"{there} has a certificate for another name: {tls.reason(error)}; set "
                    "jasmin.amqp_host (BILLING_JASMIN_AMQP_HOST) to a name that it has"
                )
            case tls.Problem.TRUST:
                return (
                    f"the certificate of {there} cannot be trusted: {tls.reason(error)}; set "
                    "jasmin.amqp_ca_file (BILLING_JASMIN_AMQP_CA_FILE) to the authority that "
                    "issued it"
                )
            case tls.Problem.NO_TLS:
                return (
                    f"{there} does not speak TLS on this port: set jasmin.amqp_port "
                    "(BILLING_JASMIN_AMQP_PORT) to that of its TLS listener, or jasmin.amqp_tls "
                    "(BILLING_JASMIN_AMQP_TLS) to false"
                )
            case tls.Problem.REFUSED:
                return (
                    f"{there} refuses the TLS session: {tls.reason(error)}; check "
                    "jasmin.amqp_cert_file (BILLING_JASMIN_AMQP_CERT_FILE)"
                )
    is_cut = isinstance(error, ConnectionResetError | asyncio.IncompleteReadError)
    if is_cut and not settings.amqp_tls and await _speaks_tls(settings):
        return (
            f"{there} speaks TLS on this port: set jasmin.amqp_tls (BILLING_JASMIN_AMQP_TLS) to "
            "true, or jasmin.amqp_port (BILLING_JASMIN_AMQP_PORT) to a port without"
        )
    return None


async def _speaks_tls(settings: Jasmin) -> bool:
    """Ask a port that hung up on AMQP; nothing is said in that session."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(
                settings.amqp_host, settings.amqp_port, ssl=tls.unverified()
            )
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
