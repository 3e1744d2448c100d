"""What the service that runs here says of itself: /readyz and /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp
import orjson
from prometheus_client.parser import text_string_to_metric_families

from service.doctor.finding import Finding, ok, problem, unknown, warning
from service.quantities import quantity
from service.reasons import reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from service.settings import Settings

ANSWER_SECONDS: Final = 5.0


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Yield whether it is ready, and what it could not do since it was started."""
    if not settings.http.port:
        yield unknown("readyz", "http.port is 0, so that nothing is known of where it listens")
        return
    url = settings.http.url
    timeout = aiohttp.ClientTimeout(ANSWER_SECONDS)
    try:
        async with aiohttp.ClientSession(url, timeout=timeout) as session:
            async with session.get("/readyz") as answer:
                yield _readiness(url, await answer.read())
            async with session.get("/metrics") as answer:
                for finding in _failures(await answer.text()):
                    yield finding
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        yield warning(
            "readyz",
            f"no billing-service answers at {url}: {reason(error)}",
            "start billing-service run, unless it runs on another host; if it does run here, set "
            "http.host and http.port (BILLING_HTTP_HOST, BILLING_HTTP_PORT) as there",
        )


def _readiness(url: str, body: bytes) -> Finding:
    """Read /readyz; ValueError where it is that of something else."""
    told = orjson.loads(body)
    if not isinstance(told, dict) or not isinstance(told.get("workers"), dict):
        raise ValueError("something else answers")
    idle = sorted(name for name, is_ready in told["workers"].items() if not is_ready)
    if not idle:
        workers = quantity(len(told["workers"]), "worker")
        return ok("readyz", f"the service at {url} is ready: {workers}")
    circuits = told.get("circuits", {})
    away = [name for name in idle if circuits.get(name, "closed") != "closed"]
    why = f"; PostgreSQL is away for {', '.join(away)}" if away else ""
    return problem(
        "readyz",
        f"the service at {url} is not ready: {', '.join(idle)}{why}",
        "read in its log why: RabbitMQ is away, PostgreSQL is away, or what they refuse",
    )


def _failures(text: str) -> Iterator[Finding]:
    """Read /metrics: what could not be decoded, and what made the service fail."""
    counts = {
        (sample.labels["stream"], sample.labels["outcome"]): int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "billing_events_total"
    }
    refused = {stream: n for (stream, outcome), n in counts.items() if n and outcome == "refused"}
    requeued = {stream: n for (stream, outcome), n in counts.items() if n and outcome == "requeued"}
    for stream, number in refused.items():
        messages = quantity(
            number,
            "message since the start could not be applied as it is",
            "messages since the start could not be applied as they are",
        )
        yield warning(
            "format",
            f"{stream}: {messages}: "
            "neither the JSON contract nor Jasmin's native format, or refused by the database",
            f"billing-service dlq list --stream {stream} tells why",
        )
    for stream, number in requeued.items():
        yield warning(
            "unexpected_errors",
            f"{stream}: {quantity(number, 'time')} since the start a message made the service "
            "fail: a bug",
            "report the stack trace in its log",
        )
    if not (refused or requeued):
        yield ok("format", "all messages since the start could be decoded and applied")
