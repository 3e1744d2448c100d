"""The dashboard has something to show, from a real Prometheus that scrapes nothing but us."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from service.broker.delivery import TIMESTAMP_MS
from tests.support.gateway import Gateway, Publication, bill, dlr
from tests.support.monitoring import panels
from tests.support.prometheus import Prometheus
from tests.support.service import eventually

RUBBISH = Publication("messaging", "dlr.deliver_sm", b"no JSON at all")
VARIABLES = {
    "$job": ".*",
    "$instance": ".*",
    "$stream": ".*",
    "$__rate_interval": "20s",
    "$__interval": "20s",
}
# Of a service that is well no alert is firing.
EMPTY = {"Alerts"}


async def test_each_panel_has_something_to_show(start, gateway: Gateway, tmp_path: Path) -> None:
    service = await start().ready()
    await gateway.add_balance(Decimal(100))
    directory = tmp_path / "prometheus"
    with Prometheus(directory, urlsplit(service.url).netloc) as prometheus:
        rounds = asyncio.create_task(keep_busy(gateway))
        try:
            await eventually(lambda: without_data(prometheus), EMPTY)
        finally:
            rounds.cancel()


async def keep_busy(gateway: Gateway) -> None:
    """Let something of every kind happen each second; a counter that is new shows no increase."""
    number = 0
    while True:
        number += 1
        delivered, refused, odd = (f"{what} {number}" for what in ("delivered", "refused", "odd"))
        await gateway.add_cdrs([delivered, refused, odd])
        # A stock Jasmin does not say when it publishes.
        stamp = {TIMESTAMP_MS: int(time.time() * 1000)}
        await gateway.publish(
            publication._replace(headers=stamp)
            for publication in (
                *(bill(message_id, f"bid {message_id}") for message_id in (delivered, refused)),
                dlr(delivered, "DELIVRD"),
                dlr(refused, "ESME_RINVDSTADR"),
                dlr(odd, "NEVERHEARD"),
                RUBBISH,
            )
        )
        await asyncio.sleep(1)


async def without_data(prometheus: Prometheus) -> set[str]:
    """Return the titles of the panels whose queries find nothing."""
    empty = set()
    for panel in panels():
        queries = [target["expr"] for target in panel["targets"]]
        for variable, value in VARIABLES.items():
            queries = [query.replace(variable, value) for query in queries]
        if not any([await prometheus.ask(query) for query in queries]):
            empty.add(panel["title"])
    return empty
