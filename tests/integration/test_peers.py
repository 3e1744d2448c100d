"""Those whom the service is compared with do their work, too."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import aio_pika
import pytest
from rich.console import Console

from bench import PROJECT
from bench.lab import queues
from bench.lab.contestant import running
from bench.lab.given import given_place
from bench.lab.screen import Screen
from bench.lab.workload import Workload
from bench.peers.compiled import CannotCompile, compile_consumer
from bench.peers.entries import peers
from bench.stack import Stack
from service.broker.topology import DLR
from tests.support.service import eventually

EVENTS = 2000
PEERS = ["specification as written", "FastStream with asyncpg", "plain aio-pika, batches"]
CEILING = "bare UPDATE in C"
SMALL = Workload(events=4, cdrs=4)


def consumer(directory: Path) -> Path:
    try:
        return compile_consumer(directory)
    except CannotCompile as error:
        pytest.skip(str(error))


def bodies(ids: list[str]) -> list[bytes]:
    """Three receipts that are hard to read, and three messages that are none."""
    return [
        # The status of the message is not one that the details happen to have.
        b'{"dlr_details": {"status": "REJECTD", "text": "\\"}{[", "more": [1, {"status": "x"}]},'
        b' "status" : "DELIVRD",\n "message_id":"%s"}' % ids[0].encode(),
        b'{"message_id": "%s", "status": "ESME_RINVDSTADR", "dlr_details": null}' % ids[1].encode(),
        b' { "n": -1.5e3, "b": true, "message_id": "%s", "status": "EXPIRED" } ' % ids[2].encode(),
        b"rubbish",
        b'{"message_id": "%s"}' % ids[3].encode(),
        b'{"message_id": "%s", "status": "DELIVRD"' % ids[3].encode(),
    ]


@pytest.mark.parametrize("name", [*PEERS, CEILING])
async def test_a_peer_settles_receipts_and_rejects_what_is_none(
    name: str, stack: Stack, vhost: str, empty_database: str, tmp_path: Path
) -> None:
    url, dsn = stack.rabbitmq.url(vhost), stack.postgres.dsn(empty_database)
    program = consumer(tmp_path) if name == CEILING else None
    ids = [SMALL.sms(number).message_id for number in range(SMALL.cdrs)]
    async with given_place(url, dsn, "quorum", Screen(Console(quiet=True))) as place:
        await place.fresh(SMALL)
        entries = peers(place, SMALL, SMALL.events, copies=1, consumer=program)
        contestant = next(each.contestant for each in entries if each.contestant.name == name)
        async with await aio_pika.connect(url) as connection, connection.channel() as channel:
            for body in bodies(ids):
                await channel.default_exchange.publish(aio_pika.Message(body), DLR.queue)
        async with running(contestant, tmp_path) as run, place.database.connect() as database:

            async def outcome() -> tuple[list[str], int, int]:
                run.read()
                found = dict(await database.fetch("SELECT message_id, status FROM sms_cdr"))
                dead = (await queues.lengths(url))[DLR.dead_queue]
                return [found[each] for each in ids], dead, run.committed

            await eventually(outcome, (["delivered", "failed", "expired", "queued"], 3, 3))


@pytest.mark.timeout(300)
def test_all_of_them_are_compared_and_every_event_is_found_again(
    stack: Stack, vhost: str, empty_database: str, tmp_path: Path
) -> None:
    consumer(tmp_path)
    output, chart = tmp_path / "peers.json", tmp_path / "peers.svg"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "peers", "--repeats=1", "--workers=1", "--with-c"),
            *(f"--events={EVENTS}", f"--slow-events={EVENTS}", f"--cdrs={EVENTS + 500}"),
            *(f"--amqp-url={stack.rabbitmq.url(vhost)}", f"--output={output}", f"--chart={chart}"),
            f"--database-url={stack.postgres.dsn(empty_database)}",
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_text())
    assert not result["void"]
    contestants = ["billing-service", *PEERS, CEILING]
    for measurement in result["measurements"]:
        assert measurement["events"] == EVENTS
        assert measurement["rate"] > 0
    assert list(result["summary"]) == contestants
    assert result["summary"]["specification as written"]["ratio"]["median"] > 0
    with output.with_suffix(".csv").open() as rows:
        assert [row["contestant"] for row in csv.DictReader(rows)] == contestants
    for name in contestants:
        assert name in done.stdout
        assert name in chart.read_text()
