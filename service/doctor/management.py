"""What only RabbitMQ's management API tells: bindings, policies, alarms, the broker's clock."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from yarl import URL

from service import tls
from service.broker.topology import sources_of
from service.doctor.finding import Finding, ok, problem, unknown, warning
from service.reasons import reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from service.broker.topology import Source
    from service.settings import Jasmin, Settings

ANSWER_SECONDS: Final = 5.0
# The answer's time has no fraction.
CLOCK_SECONDS: Final = 3.0
# What of a policy pushes messages out, or deletes the queue.
_LIMITS: Final = frozenset(
    {"expires", "message-ttl", "max-length", "max-length-bytes", "overflow", "delivery-limit"}
)

UNASKED: Final = unknown(
    "bindings",
    "bindings are not looked at: AMQP does not tell them; a service that runs makes its own again "
    "every 10 s",
    "give --management-url http://HOST:15672, or look at rabbitmqctl list_bindings",
)


async def examine(url: str, settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is found; the user is that of the URL, else the one that consumes."""
    try:
        async with _Api(url, settings.jasmin) as api:
            for source in sources_of(settings):
                bindings = await api.get(f"queues/%/{source.queue}/bindings")
                if bindings is None:
                    yield unknown("bindings", f"queue {source.queue} is not there to be bound")
                    continue
                for finding in _bindings(source, bindings):
                    yield finding
                for queue in (source.queue, source.dead_queue):
                    if found := await api.get(f"queues/%/{queue}"):
                        yield _policy(queue, found)
            yield _clock(api)
            for finding in await _alarms(api):
                yield finding
    except aiohttp.ClientResponseError as error:
        yield _refused(error, settings.jasmin)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        yield warning(
            "management",
            f"RabbitMQ's management does not answer: {reason(error)}",
            "correct --management-url, or enable it: rabbitmq-plugins enable rabbitmq_management",
        )
    except tls.UnusableFile as error:
        yield problem("management", f"jasmin.amqp_{error.which}_file: {error}")


class _Api:
    """The management API, and the time of its last answer."""

    def __init__(self, url: str, jasmin: Jasmin) -> None:
        parts = urlsplit(url)
        self._vhost = quote(jasmin.amqp_vhost, safe="")
        self._base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        user, password = jasmin.amqp_user, jasmin.amqp_password.get_secret_value()
        if parts.username:
            user, password = unquote(parts.username), unquote(parts.password or "")
        self._headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}
        self._jasmin = jasmin
        self.difference: float | None = None
        """Seconds by which the broker's clock is ahead of ours."""

    async def __aenter__(self) -> _Api:
        trusted = tls.context(tls.Files(ca=self._jasmin.amqp_ca_file))
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(ANSWER_SECONDS),
            connector=aiohttp.TCPConnector(ssl=trusted),
            raise_for_status=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str) -> Any:
        """Ask for a path below /api, in which % is the virtual host; None where there is none."""
        try:
            url = f"{self._base}/api/{path.replace('%', self._vhost)}"
            async with self._session.get(URL(url, encoded=True)) as answer:
                if told := answer.headers.get("Date"):
                    at = parsedate_to_datetime(told)
                    self.difference = (at - datetime.now(UTC)).total_seconds()
                return await answer.json()
        except aiohttp.ClientResponseError as error:
            if error.status == 404:
                return None
            raise


def _bindings(source: Source, found: list[dict[str, Any]]) -> Iterator[Finding]:
    """Compare a queue's bindings with the one that it must have."""
    made = {(binding["source"], binding["routing_key"]) for binding in found}
    wanted = (source.exchange, source.binding)
    if wanted in made:
        yield ok("bindings", f"queue {source.queue} is bound to {' with key '.join(wanted)}")
    else:
        yield problem(
            "bindings",
            f"queue {source.queue} is not bound to exchange {source.exchange} with the key "
            f"{source.binding}: what Jasmin publishes is lost",
            "start billing-service run, which binds it within 10 s",
        )
    strange = sorted(made - {wanted, ("", source.queue)})
    if strange:
        listed = ", ".join(f"{exchange} with key {key}" for exchange, key in strange)
        yield warning(
            "bindings",
            f"queue {source.queue} is also bound to {listed}: what is not for it becomes dead "
            "letters",
            "remove those bindings in RabbitMQ's management",
        )


def _policy(queue: str, found: dict[str, Any]) -> Finding:
    """Look whether a policy limits a queue besides, or otherwise than, its arguments."""
    definition = found.get("effective_policy_definition") or {}
    limits = {name: definition[name] for name in sorted(_LIMITS & set(definition))}
    if not limits:
        return ok("policy", f"queue {queue}: no policy that limits it")
    name = found.get("policy") or found.get("operator_policy")
    level = problem if "expires" in limits or queue.endswith(".dead") else warning
    return level(
        "policy",
        f"queue {queue}: policy {name} limits it: "
        + ", ".join(f"{limit} = {value}" for limit, value in limits.items()),
        "let the policy not match it; messages that it pushes out "
        + ("are lost" if queue.endswith(".dead") else "become dead letters"),
    )


def _clock(api: _Api) -> Finding:
    if api.difference is None:
        return unknown("broker_clock", "RabbitMQ's management does not tell its time")
    if abs(api.difference) < CLOCK_SECONDS:
        return ok("broker_clock", "RabbitMQ's clock agrees with this machine's")
    return warning(
        "broker_clock",
        f"RabbitMQ's clock differs from this machine's by {api.difference:+.0f} s",
        "let both follow NTP: lag is measured by them",
    )


async def _alarms(api: _Api) -> list[Finding]:
    """Look for what makes RabbitMQ stop taking messages."""
    try:
        nodes = await api.get("nodes")
    except aiohttp.ClientResponseError as error:
        return [unknown("alarms", f"alarms are only shown to the tag monitoring: {error.status}")]
    found = []
    for node in nodes or ():
        on = [kind for kind in ("mem_alarm", "disk_free_alarm") if node.get(kind)]
        if not node.get("running", True):
            found.append(warning("alarms", f"node {node['name']} is down", "start it"))
        elif on:
            says = f"node {node['name']} takes no messages: {', '.join(on)}"
            found.append(problem("alarms", says, "give it memory or disk, or drain its queues"))
    return found or [ok("alarms", "no memory or disk alarm, all nodes run")]


def _refused(error: aiohttp.ClientResponseError, jasmin: Jasmin) -> Finding:
    if error.status not in (401, 403):
        return warning("management", f"RabbitMQ's management answers {error.status}")
    return warning(
        "management",
        f"RabbitMQ's management refuses the user: {error.status}",
        f"rabbitmqctl set_user_tags {jasmin.amqp_user} management, or give another user in "
        "--management-url http://USER:PASSWORD@HOST:15672",
    )
