"""One run of one way: receipts into CDRs, batch after batch, on one connection."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg

from bench.lab import figures
from bench.lab.audit import check_cdrs
from bench.lab.contestant import Batch
from bench.lab.database import Database
from bench.lab.messages import publications
from bench.lab.result import Measurement
from bench.lab.usage import cpu_seconds
from bench.lab.workload import Workload
from bench.writes.ways import Way, message_ids
from service.broker.topology import DLR
from service.events.decode import DlrDecoder
from service.events.message import Message
from service.events.records import Receipt
from service.settings import Dlr
from service.store.dlr_writer import parameters
from service.store.pool import SERVER_SETTINGS
from service.store.sql import statement

Order = Literal["key", "random"]

_WAL: Final = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"
_UPDATES: Final = """
    SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'sms_cdr'::regclass
"""
# Soon after the end of a connection the server has added up what it did.
_POLL_SECONDS: Final = 0.1
_POLLS: Final = 50


class Task(NamedTuple):
    """What each way has to do: a workload of kind ``json``, of whose CDRs none is settled yet."""

    workload: Workload
    batch_size: int
    order: Order

    def batches(self) -> list[list[Receipt]]:
        """Return the receipts as the service decodes them, batch by batch."""
        settings = Dlr()
        decode = DlrDecoder(ZoneInfo(settings.timezone), settings.max_body_bytes)
        messages = [Message("", DLR.queue, None, {}, p.body) for p in publications(self.workload)]
        receipts = [event for event in decode(messages) if isinstance(event, Receipt)]
        starts = range(0, len(receipts), self.batch_size)
        batches = [receipts[start : start + self.batch_size] for start in starts]
        if self.order == "random":
            return batches
        return [sorted(batch, key=attrgetter("message_id")) for batch in batches]


async def measure(database: Database, task: Task, way: Way) -> Measurement:
    """Write all receipts into fresh tables, and check what came of it; count from first to last."""
    await database.fresh(task.workload.tables)
    batches = task.batches()
    async with _connection(database) as connection:
        if way.prepare:
            await connection.execute(way.prepare)
        before = await _spent(database, connection)
        written = [await _write(connection, way, batch) for batch in batches]
        after = await _spent(database, connection)
    spent = {name: after[name] - value for name, value in before.items()}
    rows = task.workload.events
    measurement = Measurement(
        contestant=f"{way.name}, {task.batch_size}",
        settings={"way": way.name, "batch_size": task.batch_size, "order": task.order},
        workload=task.workload.describe(),
        events=rows,
        rate=round(rows / spent["time"], 1),
        seconds=round(spent["time"], 3),
        cpu_us={
            name: round(spent[name] / rows * 1e6, 2)
            for name in ("client", "backend")
            if name in spent
        },
        batch=figures.batch_sizes(written),
        commit_ms=figures.commit_times(written),
        wal_bytes=round(spent["wal"] / rows),
    )
    async with database.connect() as connection:
        measurement.hot_share = await _hot_share(connection, rows)
        measurement.checks = await check_cdrs(connection, task.workload)
    return measurement


async def explain(database: Database, task: Task) -> str:
    """Return the plan by which the service's statement settled the first batch, and its costs."""
    await database.fresh(task.workload.tables)
    batch = task.batches()[0]
    explained = f"EXPLAIN (ANALYZE, BUFFERS, WAL) {statement('settle_dlrs')}"
    async with _connection(database) as connection:
        columns = parameters(message_ids(batch), batch)
        plan = await connection.fetch(explained, *columns, len(batch))
    return "\n".join(line for (line,) in plan)


@asynccontextmanager
async def _connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """Connect as the service does."""
    connection = await asyncpg.connect(database.dsn, server_settings=SERVER_SETTINGS)
    try:
        yield connection
    finally:
        await connection.close()


async def _write(connection: asyncpg.Connection, way: Way, batch: Sequence[Receipt]) -> Batch:
    began = time.perf_counter()
    async with connection.transaction():
        await way.write(connection, batch)
    return Batch(time.time(), len(batch), commit_ms=(time.perf_counter() - began) * 1e3)


async def _spent(database: Database, connection: asyncpg.Connection) -> dict[str, float]:
    """Return seconds of time, seconds of CPU by whom, and bytes of WAL, up to now."""
    spent = {"wal": float(await connection.fetchval(_WAL))}
    if database.pid is not None:  # the process of a given one may be on another machine
        spent["backend"] = cpu_seconds(connection.get_server_pid())
    spent["client"] = time.thread_time()  # another thread draws the progress
    spent["time"] = time.perf_counter()
    return spent


async def _hot_share(connection: asyncpg.Connection, updates: int) -> float | None:
    """Return the share of updates that wrote no index; None where the server does not count."""
    for _ in range(_POLLS):
        [(counted, hot)] = await connection.fetch(_UPDATES)
        if counted >= updates:
            return float(hot / counted)
        await asyncio.sleep(_POLL_SECONDS)
    return None
