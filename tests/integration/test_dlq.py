"""``billing-service dlq`` against a real broker, through the real command line."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import struct
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from pamqp import commands as spec
from pamqp import encode

from bench.chaos.proxy import Proxy
from bench.stack import Stack
from service.broker import topology
from service.broker.dead_letters import DeadLetter, DeadLetters
from service.broker.topology import BILL, DLR
from service.events.message import Message
from service.settings import Bill, Dlr
from tests.support.gateway import Gateway, Publication, bill, dlr
from tests.support.service import TIMEOUT, clean_environment, command, eventually, run_to_end

SOURCES = {DLR: Dlr(), BILL: Bill()}
REFUSED = "the database refuses it: NumericValueOutOfRangeError"
EMPTY = "body is empty"


class Cemetery:
    """The dead queues of one virtual host, and a spy on what is published to Jasmin's exchanges."""

    def __init__(
        self, connection: aio_pika.abc.AbstractConnection, environment: dict[str, str]
    ) -> None:
        self._connection = connection
        self.environment = environment

    async def declare(self) -> None:
        await topology.declare(self._connection, SOURCES)
        self.letters = await DeadLetters.open(self._connection, SOURCES)
        self._channel = await self._connection.channel()
        self._spy = await self._channel.declare_queue("spy", exclusive=True)
        for exchange in ("messaging", "billing"):
            await self._spy.bind(exchange, "#")

    async def bury(self, *publications: Publication, reason: str = EMPTY) -> None:
        for name, source in (("dlr", DLR), ("bill", BILL)):
            letters = [
                DeadLetter(
                    Message(p.exchange, p.routing_key, p.message_id, dict(p.headers), p.body),
                    reason,
                )
                for p in publications
                if p.exchange == source.exchange
            ]
            await self.letters.publish(name, source, letters)

    def run(self, *args: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return run_to_end("dlq", *args, environment=self.environment | settings)

    def start(
        self,
        *args: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        **settings: str,
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command("dlq", *args),
            env=clean_environment(self.environment | settings),
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ok(self, *args: str) -> str:
        done = self.run(*args)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def list(self, *args: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ok("list", "--json", *args))
        return found

    async def spied(self) -> int:
        return (await self._spy.declare()).message_count or 0


@pytest.fixture
async def dead(stack: Stack, vhost: str, environment: dict[str, str]) -> AsyncIterator[Cemetery]:
    async with await aio_pika.connect(stack.rabbitmq.url(vhost)) as connection:
        cemetery = Cemetery(connection, environment)
        await cemetery.declare()
        yield cemetery
        assert await cemetery.spied() == 0  # nothing is ever published to Jasmin's exchanges


def receipts(count: int, status: str = "DELIVRD") -> list[Publication]:
    return [dlr(f"m{number}", status)._replace(message_id=f"m{number}") for number in range(count)]


def keys(messages: Sequence[aio_pika.abc.AbstractIncomingMessage]) -> Counter[str]:
    return Counter(str(message.message_id) for message in messages)


async def test_list_counts_and_shows_and_takes_nothing(dead: Cemetery, gateway: Gateway) -> None:
    await dead.bury(*receipts(3))
    await dead.bury(bill("x", "b1"), reason=REFUSED)
    text = dead.ok("list")
    for part in (EMPTY, "dlr.deliver_sm", "m0", "m2", REFUSED, "bill_request.submit_sm_resp"):
        assert part in text
    found = dead.list("--limit", "1")
    assert found["total"] == 4
    assert found["counts"] == [
        {"stream": "dlr", "reason": EMPTY, "letters": 3},
        {"stream": "bill", "reason": REFUSED, "letters": 1},
    ]
    (row,) = found["letters"]
    assert (row["message_id"], row["routing_key"], row["stream"]) == ("m0", "dlr.deliver_sm", "dlr")
    assert row["dead_at"].startswith("20")
    assert "and 3 more (--limit)" in dead.ok("list", "--limit", "1")
    assert dead.list("--stream", "bill")["total"] == 1
    assert dead.list("--reason", "DATABASE")["total"] == 1
    assert dead.list("--newer-than", "1h")["total"] == 4
    assert dead.list("--older-than", "1h")["total"] == 0
    await eventually(lambda: gateway.waiting(DLR.dead_queue), 3)
    await eventually(lambda: gateway.waiting(BILL.dead_queue), 1)


async def test_looking_is_not_limited_by_a_count_of_deliveries(
    dead: Cemetery, gateway: Gateway
) -> None:
    await dead.bury(*receipts(2))
    ids = {row["id"] for row in dead.list()["letters"]}
    for _ in range(3):
        assert {row["id"] for row in dead.list()["letters"]} == ids
    channel = await gateway._connection.channel()
    queue = await channel.declare_queue(DLR.dead_queue, passive=True)
    for _ in range(30):  # quicker than the command line, and the same to the broker
        message = await queue.get()
        await message.reject(requeue=True)
    await channel.close()
    assert {row["id"] for row in dead.list()["letters"]} == ids


async def test_show_hides_what_is_private_unless_it_is_asked_for(dead: Cemetery) -> None:
    await dead.bury(dlr("m1", "DELIVRD", destination="+34600111222"))
    (row,) = dead.list()["letters"]
    shown = dead.ok("show", row["id"][:6])
    for part in (row["id"], EMPTY, "dlr.deliver_sm", "messaging", '"message_id": "m1"', "****222"):
        assert part in shown
    assert "hello" not in shown
    assert "+34600111222" not in shown
    revealed = dead.ok("show", row["id"], "--reveal")
    assert '"text": "hello"' in revealed
    assert "+34600111222" in revealed


async def test_show_tells_of_several_with_the_same_id(dead: Cemetery) -> None:
    await dead.bury(*receipts(30))
    ids = [row["id"] for row in dead.list()["letters"]]
    ((first, several),) = Counter(one[0] for one in ids).most_common(1)
    assert several > 1
    shown = dead.ok("show", first)
    assert shown.startswith(f"{several} dead letters have an id that begins with {first}")
    missing = dead.run("show", "ffffffffffffffff")
    assert missing.returncode == 1
    assert "no dead letter has an id that begins with" in missing.stderr


async def test_replay_is_applied_by_a_running_service(
    start, dead: Cemetery, gateway: Gateway
) -> None:
    await gateway.add_cdrs(["m1", "m2"])
    service = await start().ready()
    await gateway.publish([dlr("m1", "DELIVRD")])
    await eventually(gateway.statuses, {"m1": "delivered", "m2": "queued"})
    published = 1
    await dead.bury(dlr("m2", "DELIVRD"), bill("m2", "b2"), reason=REFUSED)
    assert "2 dead letters would be replayed" in dead.ok("replay", "--dry-run")
    assert await gateway.statuses() == {"m1": "delivered", "m2": "queued"}
    assert dead.ok("replay") == "2 dead letters replayed\n"
    await eventually(gateway.statuses, {"m1": "delivered", "m2": "delivered"})
    await eventually(lambda: gateway.count("billing_event", "bid = 'b2'"), 1)
    assert await gateway.waiting(DLR.dead_queue) == 0
    assert await gateway.waiting(BILL.dead_queue) == 0
    assert len(service.events("consuming")) == 2
    assert await dead.spied() == published
    await dead._spy.purge()
    assert await service.stop() == 0


async def test_what_is_refused_again_keeps_its_first_routing_key(
    start, dead: Cemetery, gateway: Gateway
) -> None:
    service = await start().ready()
    bad = Publication("messaging", "dlr.data_sm", b"rubbish", "AA", {"CC": ["spy"], "cid": "c"})
    await dead.bury(bad, reason="an old reason")
    dead.ok("replay")
    await eventually(lambda: gateway.waiting(DLR.dead_queue), 1)
    (row,) = dead.list()["letters"]
    assert (row["exchange"], row["routing_key"]) == ("messaging", "dlr.data_sm")
    assert "neither the JSON contract" in row["reason"]
    assert await service.stop() == 0
    (message,) = await gateway.take(DLR.dead_queue)
    assert message.headers["cid"] == "c"
    assert "CC" not in message.headers


async def test_what_had_no_message_id_has_none_after_a_replay(
    start, dead: Cemetery, gateway: Gateway, stack: Stack, vhost: str
) -> None:
    service = await start().ready()
    without = {  # the client library gives one to all that it publishes
        "routing_key": "dlr.submit_sm_resp",
        "properties": {"headers": {"type": "submit_sm_resp"}},
        "payload": "ESME_ROK",
        "payload_encoding": "string",
    }
    assert stack.rabbitmq.api("POST", f"/exchanges/{vhost}/messaging/publish", without)["routed"]
    await eventually(lambda: gateway.waiting(DLR.dead_queue), 1)
    (first,) = dead.list()["letters"]
    assert (first["reason"], first["message_id"]) == ("property message-id is missing", None)
    assert "message id   -\n" in dead.ok("show", first["id"])
    assert dead.ok("replay") == "1 dead letter replayed\n"

    async def again() -> str | None:
        letters = dead.list()["letters"]
        return letters[0]["reason"] if letters and letters[0]["id"] != first["id"] else None

    await eventually(again, "property message-id is missing")
    assert dead.list()["letters"][0]["message_id"] is None
    assert await gateway.count("billing_parked") == 0
    await dead._spy.purge()
    assert await service.stop() == 0


async def test_replay_takes_only_what_is_selected(dead: Cemetery, gateway: Gateway) -> None:
    await dead.bury(*receipts(5))
    await dead.bury(dlr("other", "DELIVRD")._replace(message_id="other"), reason=REFUSED)
    await dead.bury(bill("x", "b1"))
    wanted = dead.list()["letters"][3]
    assert dead.ok("replay", "--stream", "dlr", "--reason", "refuses") == "1 dead letter replayed\n"
    assert dead.ok("replay", "--id", wanted["id"]) == "1 dead letter replayed\n"
    assert dead.ok("replay", "--stream", "dlr", "--limit", "2") == "2 dead letters replayed\n"
    assert keys(await gateway.take(DLR.queue)) == Counter(["other", "m3", "m0", "m1"])
    await eventually(lambda: gateway.waiting(DLR.dead_queue), 2)
    assert await gateway.waiting(BILL.dead_queue) == 1


async def test_replay_carries_no_mark_but_the_origin(dead: Cemetery, gateway: Gateway) -> None:
    headers = {"type": "deliver_sm", "blob": bytearray(b"\xff"), "BCC": ["spy"]}
    await dead.bury(Publication("messaging", "dlr.deliver_sm", b"DELIVRD", "AA", headers))
    dead.ok("replay")
    (message,) = await gateway.take(DLR.queue)
    assert message.body == b"DELIVRD"
    assert message.message_id == "AA"
    assert message.delivery_mode == 2
    assert message.headers == {
        "type": "deliver_sm",
        "blob": b"\xff",
        "x-billing-exchange": "messaging",
        "x-billing-routing-key": "dlr.deliver_sm",
    }


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_is_lost_when_replay_is_stopped_half_way(
    dead: Cemetery, gateway: Gateway, how: signal.Signals
) -> None:
    count = 1000  # ten rounds: it cannot be over between a look and the signal
    await dead.bury(*receipts(count))
    async with Proxy(int(dead.environment["BILLING_JASMIN_AMQP_PORT"])) as proxy:
        proxy.slow = True
        process = dead.start("replay", BILLING_JASMIN_AMQP_PORT=str(proxy.port))

        async def begun() -> bool:
            assert process.poll() is None, "it was over before it could be stopped"
            return await gateway.waiting(DLR.queue) > 0

        await eventually(begun)
        process.send_signal(how)
        out, err = await asyncio.to_thread(process.communicate, timeout=TIMEOUT)
    assert "Traceback" not in err
    if how is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 1
        assert "dead letters replayed" in out
        assert "interrupted; what was not removed is where it was" in err

    async def total() -> bool:
        queues = (DLR.queue, DLR.dead_queue)
        return sum([await gateway.waiting(queue) for queue in queues]) >= count

    await eventually(total)
    replayed, left = await gateway.take(DLR.queue), await gateway.take(DLR.dead_queue)
    assert 0 < len(replayed) < count
    assert set(keys(replayed) + keys(left)) == {f"m{number}" for number in range(count)}
    assert len(replayed) + len(left) <= count + 100


async def test_replay_ends_when_our_queue_takes_nothing(
    dead: Cemetery, gateway: Gateway, stack: Stack, vhost: str
) -> None:
    await dead.bury(*receipts(3))
    stack.rabbitmq.api("DELETE", f"/queues/{vhost}/{DLR.queue}")
    gone = dead.run("replay")
    assert (gone.returncode, gone.stdout) == (1, "0 dead letters replayed\n")
    assert "there is no queue billing_service.dlr" in gone.stderr
    arguments = {"x-max-length": 0, "x-overflow": "reject-publish"}
    path = f"/queues/{vhost}/{DLR.queue}"
    stack.rabbitmq.api("PUT", path, {"durable": True, "arguments": arguments})
    full = dead.run("replay")
    assert full.returncode == 1
    assert "billing_service.dlr is full" in full.stderr
    await eventually(lambda: gateway.waiting(DLR.dead_queue), 3)


async def test_what_the_broker_pushes_out_can_be_read_and_replayed(
    dead: Cemetery, gateway: Gateway, stack: Stack, vhost: str
) -> None:
    policy = f"/policies/{vhost}/short"
    pattern = {"pattern": f"^{DLR.queue}$", "definition": {"max-length": 1}}
    stack.rabbitmq.api("PUT", policy, pattern)
    await gateway.publish(receipts(3))
    await eventually(lambda: gateway.waiting(DLR.dead_queue), 2)
    stack.rabbitmq.api("DELETE", policy)
    await dead._spy.purge()
    row = dead.list()["letters"][0]
    assert row["reason"] == "pushed out by the broker: maxlen"
    assert (row["exchange"], row["routing_key"]) == ("messaging", "dlr.deliver_sm")
    assert row["dead_at"].startswith("20")
    dead.ok("replay", "--reason", "maxlen")
    messages = await gateway.take(DLR.queue)
    assert keys(messages) == Counter(["m0", "m1", "m2"])
    assert not any("x-death" in message.headers for message in messages)


async def test_export_writes_all_and_takes_nothing(
    dead: Cemetery, gateway: Gateway, tmp_path: Path
) -> None:
    octets = Publication(
        "messaging", "dlr.deliver_sm", b"\xff\xfe", "AA", {"b": bytearray(b"\xff")}
    )
    await dead.bury(dlr("m1", "DELIVRD"), octets)
    file = tmp_path / "dead.jsonl"
    text = dead.ok("export", "--output", str(file))
    assert text == f"2 dead letters exported to {file}\n"
    first, second = [json.loads(line) for line in file.read_text().splitlines()]
    assert json.loads(first["body"])["dlr_details"]["text"] == "hello"
    assert (first["stream"], first["reason"]) == ("dlr", EMPTY)
    assert (first["exchange"], first["routing_key"]) == ("messaging", "dlr.deliver_sm")
    assert first["dead_at"].startswith("20")
    assert second["body"] == {"$base64": "//4="}
    assert second["headers"]["b"] == {"$base64": "/w=="}
    assert second["message_id"] == "AA"
    await eventually(lambda: gateway.waiting(DLR.dead_queue), 2)
    again = dead.run("export", "--output", str(file))
    assert again.returncode == 2
    assert "--force replaces it" in again.stderr
    dead.ok("export", "--output", str(file), "--force", "--limit", "1")
    assert len(file.read_text().splitlines()) == 1
    for path in (tmp_path / "no" / "where", tmp_path / ("x" * 300)):
        nowhere = dead.run("export", "--output", str(path))
        assert nowhere.returncode == 1
        assert nowhere.stderr.startswith(f"billing-service: cannot write {path}: ")
    assert os.listdir(tmp_path) == [file.name]
    directory = dead.run("export", "--output", str(tmp_path), "--force")
    assert directory.returncode == 2
    assert directory.stderr == (
        f"billing-service: {tmp_path} is a directory; give a file: --output {file}\n"
    )


async def test_export_to_standard_output_writes_nothing_else_there(dead: Cemetery) -> None:
    await dead.bury(*receipts(3))
    listed = [letter["id"] for letter in dead.list()["letters"]]
    done = dead.run("export", "--output", "-", BILLING_LOG_LEVEL="DEBUG")
    exported = [json.loads(line) for line in done.stdout.splitlines()]
    assert [letter["id"] for letter in exported] == listed
    assert exported[2]["message_id"] == "m2"
    assert (done.returncode, done.stderr) == (0, "3 dead letters exported to standard output\n")
    assert "-" not in os.listdir()


@pytest.mark.parametrize("count", [1, 300])  # seen at the end, or while there is more to write
async def test_an_export_that_does_not_fit_is_told_of(dead: Cemetery, count: int) -> None:
    await dead.bury(*receipts(count))
    full = os.open("/dev/full", os.O_WRONLY)
    process = dead.start("export", "--output", "-", stdout=full)
    os.close(full)
    _, said = await asyncio.to_thread(process.communicate, timeout=TIMEOUT)
    assert process.returncode == 1
    assert said == "billing-service: cannot write standard output: No space left on device\n"


async def test_an_export_to_a_standard_output_that_is_closed_is_told_of(dead: Cemetery) -> None:
    await dead.bury(*receipts(1))
    done = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", 'exec "$@" >&-', "sh", *command("dlq", "export", "--output", "-")],
        env=clean_environment(dead.environment),
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    said = "billing-service: cannot write standard output: Bad file descriptor\n"
    assert (done.returncode, done.stderr) == (1, said)


async def test_purge_removes_only_on_demand(dead: Cemetery, gateway: Gateway) -> None:
    await dead.bury(*receipts(3))
    await dead.bury(bill("x", "b1"), reason=REFUSED)
    unasked = dead.run("purge")
    assert unasked.returncode == 2
    assert "without a terminal give --yes" in unasked.stderr
    assert dead.ok("purge", "--dry-run") == "4 dead letters would be removed\n"
    assert dead.ok("purge", "--yes", "--reason", "nothing like it") == "0 dead letters removed\n"
    assert dead.ok("purge", "--yes", "--limit", "1") == "1 dead letter removed\n"
    assert [row["message_id"] for row in dead.list("--stream", "dlr")["letters"]] == ["m1", "m2"]
    assert dead.ok("purge", "--yes") == "3 dead letters removed\n"
    assert dead.list()["total"] == 0


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 2), (b"y\n", 0)])
async def test_purge_asks_on_a_terminal(
    dead: Cemetery, gateway: Gateway, answer: bytes, left: int
) -> None:
    await dead.bury(*receipts(2))
    master, slave = pty.openpty()
    process = dead.start("purge", stdin=slave)
    os.close(slave)
    os.write(master, answer)
    out, _ = await asyncio.to_thread(process.communicate, timeout=TIMEOUT)
    os.close(master)
    assert "Remove 2 dead letters for good?" in out
    assert process.returncode == (1 if left else 0)
    await eventually(lambda: gateway.waiting(DLR.dead_queue), left)


NEVER = b"\x04whenT" + b"\xff" * 8


async def test_letters_with_hostile_headers_break_nothing(
    dead: Cemetery, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    strange = {
        "x-death": "gibberish",
        "x-billing-reason": ["\x1b[2J"],
        "x-billing-dead-at": "then",
        "x-billing-exchange": bytearray(b"\xff"),
        "deep": [{"a": [bytearray(b"\xff")]}],
    }
    channel = await gateway._connection.channel()
    for headers in (strange, {}, {"x-death": [1]}, {"wide": "a" * 60_000}):
        message = aio_pika.Message(b"\xff{", message_id="AA", headers=headers)
        await channel.default_exchange.publish(message, DLR.dead_queue)
    with monkeypatch.context() as wire:
        strict = encode.METHODS["table"]
        wire.setitem(
            encode.METHODS,
            "table",
            lambda value: value if isinstance(value, bytes) else strict(value),
        )
        underlay = await channel.get_underlay_channel()
        await underlay.basic_publish(
            b"unreadable",
            routing_key=DLR.dead_queue,
            properties=spec.Basic.Properties(
                message_id="raw", headers=struct.pack(">I", len(NEVER)) + NEVER
            ),
        )
    await channel.close()
    assert dead.list()["total"] == 5
    assert "\x1b" not in dead.ok("list")
    for row in dead.list()["letters"]:
        assert "\x1b" not in dead.ok("show", row["id"], "--reveal")
    dead.ok("export", "-o", str(tmp_path / "all"))
    done = dead.run("replay")
    assert (done.returncode, done.stdout) == (0, "3 dead letters replayed\n")
    assert "2 cannot be replayed and stay" in done.stderr
    await eventually(lambda: gateway.waiting(DLR.dead_queue), 2)
    assert await gateway.waiting(DLR.queue) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--older-than", "yesterday"], "is no duration such as 30s, 15m, 2h or 7d"),
        (["list", "--stream", "sms"], "'sms'"),
        (["replay", "--limit", "0"], "--limit"),
        (["replay", "--newer-than", "-1h"], "is no duration"),
        (["show"], "ID"),
        (["show", " "], "give an id"),
        (["export"], "--output"),
        (["bury"], "bury"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], said: str) -> None:
    environment = {"BILLING_DATABASE_URL": "postgresql://u:p@h/d", "COLUMNS": "200"}
    done = run_to_end("dlq", *arguments, environment=environment)
    assert done.returncode == 2
    assert said in done.stderr


def test_before_anything_ran_there_is_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_to_end("dlq", *arguments, environment=environment)

    listed = run("list")
    assert listed.returncode == 0
    assert "billing_service.dlr.dead: there is no such queue yet" in listed.stdout
    assert json.loads(run("list", "--json").stdout)["missing_queues"] == [
        "billing_service.dlr.dead",
        "billing_service.submit_sm_resp.dead",
    ]
    assert run("replay").stdout == "0 dead letters replayed\n"
    assert run("purge", "--yes").stdout == "0 dead letters removed\n"
    assert run("show", "a").returncode == 1
    assert run("export", "-o", str(tmp_path / "f")).returncode == 0


async def test_empty_queues_are_said_to_be_empty(dead: Cemetery) -> None:
    assert dead.ok("list") == "no dead letters\n"


def test_refusals_of_the_broker_are_explained(environment: dict[str, str]) -> None:
    wrong = run_to_end(
        "dlq", "list", environment=environment | {"BILLING_JASMIN_AMQP_PASSWORD": "wrong"}
    )
    assert wrong.returncode == 3
    assert "RabbitMQ refuses user 'jasmin'" in wrong.stderr
    nowhere = run_to_end(
        "dlq", "list", environment=environment | {"BILLING_JASMIN_AMQP_VHOST": "nowhere"}
    )
    assert nowhere.returncode == 3
    assert "refuses virtual host 'nowhere'" in nowhere.stderr
    away = run_to_end("dlq", "list", environment=environment | {"BILLING_JASMIN_AMQP_PORT": "1"})
    assert away.returncode == 3
    assert away.stderr == (
        "billing-service: RabbitMQ is away: 127.0.0.1:1: Connection refused; what was not removed "
        "is where it was\n"
    )
    for done in (wrong, nowhere, away):
        assert "Traceback" not in done.stderr
