"""All ways of writing a batch come to the same rows; a run that does not is void."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
import pytest

from bench.lab.database import Database
from bench.lab.workload import Workload
from bench.stack import Stack
from bench.writes.command import play
from bench.writes.measure import Task, measure
from bench.writes.ways import WAYS, Way
from service.events.records import Receipt
from service.events.statuses import status_of

TASK = Task(Workload(events=300, cdrs=400, accounts=5, fillfactor=25), 70, "key")


async def test_every_way_settles_every_row_once(tables: Database) -> None:
    costs = await play(tables, [TASK, TASK._replace(batch_size=300)], 1, with_plan=True)
    assert not costs.is_void
    names = [f"{way.name}, {size}" for size in (70, 300) for way in WAYS]
    assert list(costs.summary()) == names
    for measurement in costs.measurements:
        figures = measurement.figures()
        assert figures["rate"] > 0
        assert figures["cpu_us.client"] > 0
        assert figures["wal_bytes"] > 100
        assert figures["hot_share"] == 1
        assert figures["batch.count"] == (5 if measurement.settings["batch_size"] == 70 else 1)
    assert "Update on sms_cdr" in costs.plan
    assert "WAL: records=" in costs.plan
    async with tables.connect() as database:
        options = "SELECT reloptions FROM pg_class WHERE oid = 'sms_cdr'::regclass"
        assert await database.fetchval(options) == ["fillfactor=25"]


async def test_a_run_that_leaves_a_row_out_is_void(tables: Database) -> None:
    async def write(connection: asyncpg.Connection, receipts: Sequence[Receipt]) -> None:
        await WAYS[0].write(connection, receipts[1:])

    measurement = await measure(tables, TASK, Way("careless", write))
    assert measurement.is_void
    assert [check.different for check in measurement.checks if check.different] == [5]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_values_arrive_as_they_are(stack: Stack, database: str, way: Way) -> None:
    done_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    details = '{"text": "tab\\t line\\n \\"quoted\\" C:\\\\new ü 😀"}'
    receipts = [
        Receipt("a", (), "A\\1\tx", None, status_of("DELIVRD"), done_at, "\\N", details),
        Receipt("b", (), None, None, status_of("UNDELIV"), None, "line\nbreak\r", None),
        Receipt("none", (), None, None, status_of("UNDELIV"), None, None, None),
    ]
    connection = await asyncpg.connect(stack.postgres.dsn(database))
    await connection.execute("INSERT INTO sms_cdr (message_id) VALUES ('a'), ('b')")
    if way.prepare:
        await connection.execute(way.prepare)
    async with connection.transaction():
        await way.write(connection, receipts)
    rows = await connection.fetch(
        "SELECT message_id, smpp_msgid, status, delivery_at, error_code, dlr_payload ->> 'text' "
        "FROM sms_cdr ORDER BY message_id"
    )
    await connection.close()
    text = 'tab\t line\n "quoted" C:\\new ü 😀'
    assert [tuple(row) for row in rows] == [
        ("a", "A\\1\tx", "delivered", done_at, "\\N", text),
        ("b", None, "failed", None, "line\nbreak\r", None),
    ]
