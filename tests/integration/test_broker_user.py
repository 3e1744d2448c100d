"""The user of RabbitMQ that docs/deployment.md makes may do all that the service needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from bench import PROJECT
from bench.stack import Stack
from service.broker.topology import STREAMS, SUBMIT
from tests.support.gateway import ACCOUNT, Gateway, Publication, bill, capture, dlr, submissions
from tests.support.service import eventually, run_to_end

USER, PASSWORD = "billing", "of-its-own"
PERMISSIONS = re.compile(
    rf"rabbitmqctl set_permissions -p / {USER} '(?P<configure>[^']+)' \\\n"
    r" +'(?P<write>[^']+)' '(?P<read>[^']+)'"
)
TAGS = re.compile(rf"rabbitmqctl set_user_tags {USER} (\w+)")


@pytest.fixture
def environment(stack: Stack, vhost: str, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The service's settings, with capture, and with the user that the page makes."""
    page = (PROJECT / "docs/deployment.md").read_text()
    tags, permissions = TAGS.search(page), PERMISSIONS.search(page)
    assert tags
    assert permissions
    api = stack.rabbitmq.api
    api("PUT", f"/users/{USER}", {"password": PASSWORD, "tags": tags[1]})
    api("PUT", f"/permissions/{quote(vhost, safe='')}/{USER}", permissions.groupdict())
    yield environment | {
        "BILLING_JASMIN_AMQP_USER": USER,
        "BILLING_JASMIN_AMQP_PASSWORD": PASSWORD,
        "BILLING_CAPTURE_ENABLED": "true",
    }
    api("DELETE", f"/users/{USER}")


def bindings(stack: Stack, vhost: str) -> set[str]:
    """Return our queues that are bound to one of Jasmin's exchanges."""
    found = stack.rabbitmq.api("GET", f"/bindings/{quote(vhost, safe='')}")
    return {each["destination"] for each in found if each["source"]}


async def test_it_settles_and_buries(start, stack: Stack, vhost: str, gateway: Gateway) -> None:
    service = await start().ready()
    await gateway.publish(p for p in capture() if p.routing_key.startswith("submit.sm.smsc"))
    await eventually(lambda: gateway.count("sms_cdr"), len(submissions()))
    await gateway.add_cdrs(["m-1"])
    await gateway.publish([dlr("m-1", "DELIVRD"), bill("m-1", "b-1")])
    await eventually(lambda: gateway.count("sms_cdr", "message_id = 'm-1' AND status_rank = 6"), 1)
    await eventually(lambda: gateway.count("billing_event", f"account_id = '{ACCOUNT}'"), 1)
    await gateway.publish(
        Publication(source.exchange, source.binding.replace("#", "x").replace("*", "x"), b"")
        for source in STREAMS.values()
    )
    for source in STREAMS.values():
        await eventually(lambda queue=source.dead_queue: gateway.waiting(queue), 1)
    assert await service.stop() == 0
    # Capture is switched off.
    assert SUBMIT.queue in bindings(stack, vhost)
    service = await start(CAPTURE_ENABLED="false").ready()

    async def is_bound() -> bool:
        return SUBMIT.queue in bindings(stack, vhost)

    await eventually(is_bound, expected=False)
    assert await service.stop() == 0


async def test_the_commands_work(
    start, stack: Stack, environment: dict[str, str], gateway: Gateway, tmp_path: Path
) -> None:
    def run(*command: str) -> str:
        done = run_to_end(*command, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    await start().ready()
    rubbish = [Publication("messaging", "dlr.deliver_sm", b"") for _ in range(3)]
    await gateway.publish(rubbish)
    await eventually(lambda: gateway.waiting("billing_service.dlr.dead"), 3)
    assert "body is empty" in run("dlq", "list")
    assert "3 dead letters exported" in run("dlq", "export", "--output", str(tmp_path / "dead"))
    assert "1 dead letter removed" in run("dlq", "purge", "--yes", "--limit", "1")
    assert "2 dead letters replayed" in run("dlq", "replay")
    management = ("--management-url", stack.rabbitmq.management_url)
    found = json.loads(run("doctor", "--json", *management))["findings"]
    checks = {each["check"]: each["level"] for each in found if "RabbitMQ" in each["area"]}
    assert {"broker_privileges", "bindings", "alarms"} <= set(checks), checks
    assert set(checks.values()) <= {"ok", "warning"}, checks
