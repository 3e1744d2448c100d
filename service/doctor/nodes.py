"""Which of RabbitMQ's addresses answer: each is asked, all at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from service.addresses import Turns
from service.broker.connection import connect
from service.broker.errors import OUTAGES
from service.broker.transport import PeelingConnection
from service.doctor.finding import Finding, problem, warning
from service.exits import CannotStart
from service.reasons import reason

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from service.addresses import Address
    from service.settings import Jasmin

CONNECT_SECONDS: Final = 8.0


async def reach(
    session: AsyncExitStack, jasmin: Jasmin
) -> tuple[list[PeelingConnection], list[Finding]]:
    """Connect to each address.

    Returns:
        The connections, which ``session`` closes, and a finding for each address without one: no
        problem as long as another takes the service.
    """
    asked = await asyncio.gather(
        *(_connect(session, jasmin, address) for address in jasmin.addresses)
    )
    reached = [each for each in asked if isinstance(each, PeelingConnection)]
    level = warning if reached else problem
    failures = [
        level("broker", *_failure(address, each))
        for address, each in zip(jasmin.addresses, asked, strict=True)
        if isinstance(each, Exception)
    ]
    return reached, failures


async def _connect(
    session: AsyncExitStack, jasmin: Jasmin, address: Address
) -> PeelingConnection | Exception:
    connecting = connect(jasmin, "billing-service doctor", Turns([address]))
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await session.enter_async_context(connecting)
    except (CannotStart, *OUTAGES) as error:
        return error


def _failure(address: Address, error: Exception) -> tuple[str, str]:
    """Say what is wrong with an address, and what to do about it."""
    if isinstance(error, CannotStart):
        return str(error), ""
    return (
        f"RabbitMQ at {address} cannot be reached: {reason(error)}",
        "start it, or correct jasmin.amqp_host and jasmin.amqp_port "
        "(BILLING_JASMIN_AMQP_HOST, BILLING_JASMIN_AMQP_PORT)",
    )
