"""Looks at everything at once, within a fixed time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from service.doctor import broker, database, jasmin, management, running
from service.doctor.finding import Finding, problem
from service.store.errors import describe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from service.settings import Settings

# Longer than any connection may take to be made: all addresses are asked at the same time.
LIMIT_SECONDS: Final = 12.0
CLOSING_SECONDS: Final = 1.0


class Area(NamedTuple):
    """What was found in one place, in order."""

    name: str
    findings: list[Finding]


async def examine(
    settings: Settings, jasmin_config: Path | None = None, management_url: str | None = None
) -> list[Area]:
    """Look at broker, database, the service that runs here, and Jasmin's configuration.

    None of them waits for another, and nothing is changed anywhere.

    Args:
        settings: of the service that is to run.
        jasmin_config: Jasmin's jasmin.cfg, where it can be read.
        management_url: of RabbitMQ's management, for what AMQP does not tell.
    """
    api = (
        management.examine(management_url, settings)
        if management_url
        else _once(management.UNASKED)
    )
    looking = {
        "RabbitMQ": broker.examine(settings),
        "RabbitMQ's management": api,
        "PostgreSQL": database.examine(settings),
        "Service": running.examine(settings),
    }
    if jasmin_config:
        looking["Jasmin"] = jasmin.examine(jasmin_config, settings)
    return await asyncio.gather(*(_within_limit(*each) for each in looking.items()))


async def _once(finding: Finding) -> AsyncIterator[Finding]:
    yield finding


async def _within_limit(name: str, found: AsyncIterator[Finding]) -> Area:
    """Collect what is found until the time is over; keep what was found by then."""
    area = Area(name, [])

    async def collect() -> None:
        async for finding in found:
            area.findings.append(finding)

    looking = asyncio.create_task(collect())
    await asyncio.wait({looking}, timeout=LIMIT_SECONDS)
    if not looking.done():
        looking.cancel()
        await asyncio.wait({looking}, timeout=CLOSING_SECONDS)
        says = f"no answer within {LIMIT_SECONDS:g} s; what is not listed was not looked at"
        area.findings.append(problem("time_limit", says, "see whether it hangs"))
    elif error := looking.exception():
        says = f"the doctor itself failed: {describe(error)}; what is not listed was not looked at"
        area.findings.append(problem("doctor", says, "report this"))
    return area
