"""One connection to RabbitMQ, for one session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aio_pika
from aiormq.exceptions import (
    AuthenticationError,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from service.exits import CannotStart

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection

    from service.settings import Jasmin

CONNECT_SECONDS = 10


@asynccontextmanager
async def connect(settings: Jasmin, name: str) -> AsyncIterator[AbstractConnection]:
    """Connect, and close at the end.

    A plain connection, not aio-pika's robust one: a session that is lost ends visibly, so that
    no delivery tag of it can be taken for one of the next.

    Args:
        settings: where the broker is.
        name: what RabbitMQ's management shows for this connection.

    Raises:
        CannotStart: the broker refuses the user, the password or the virtual host.
        AMQPError, OSError, TimeoutError: it is away.
    """
    try:
        connection = await aio_pika.connect(
            host=settings.amqp_host,
            port=settings.amqp_port,
            login=settings.amqp_user,
            password=settings.amqp_password.get_secret_value(),
            virtualhost=settings.amqp_vhost,
            heartbeat=settings.amqp_heartbeat,
            client_properties={"connection_name": name},
            timeout=CONNECT_SECONDS,
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
    async with connection:
        yield connection
