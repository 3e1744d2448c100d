"""What ``/status.json`` says: made by the supervisor, read by the page and by ``top``.

Times are in seconds. Streams have the names that metrics have for them: dlr, bill and, where CDRs
are made from what is submitted, submit.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Health(StrEnum):
    """How much a person should mind."""

    GOOD = "good"
    QUIET = "quiet"
    WARNING = "warning"
    BAD = "bad"


class WorkerState(StrEnum):
    """What a worker process is at.

    READY: it consumes and can write.
    STARTING: it has not had time to.
    DATABASE_AWAY: PostgreSQL does not answer it; what it has been delivered it holds.
    BROKER_AWAY: it does not consume; it tries to reach RabbitMQ.
    SILENT: its event loop has not run for some seconds.
    DRAINING: it has been told to stop, and finishes what it has.
    MISSING: it has died, and another will be started.
    """

    READY = "ready"
    STARTING = "starting"
    DATABASE_AWAY = "database away"
    BROKER_AWAY = "broker away"
    SILENT = "silent"
    DRAINING = "draining"
    MISSING = "missing"


class Headline(msgspec.Struct, frozen=True):
    """The whole in one line.

    Attributes:
        title: two or three words: Settling, Idle, Database away.
        detail: what that means just now.
        level: how much to mind.
        since_s: for how long the title has been the same.
    """

    title: str
    detail: str
    level: Health
    since_s: float = 0.0


class Worker(msgspec.Struct, frozen=True):
    """One place for a worker, and the process in it.

    Attributes:
        number: which worker, from 1.
        state: what it is at.
        circuit: to PostgreSQL: closed, half-open, open; or no worker.
        pid: of the process; None while there is none.
        uptime_s: age of the process.
        rss_bytes: memory of the process.
        restarts: how often a process died here unasked.
        hangs: how many of those were killed because their event loop hung.
    """

    number: int
    state: WorkerState
    circuit: str
    pid: int | None = None
    uptime_s: float = 0.0
    rss_bytes: int = 0
    restarts: int = 0
    hangs: int = 0


class Spread(msgspec.Struct, frozen=True):
    """Two quantiles of what was observed within the last minute, in seconds."""

    p50: float
    p99: float


class Stream(msgspec.Struct, frozen=True):
    """One queue and what becomes of it.

    Attributes:
        queue: its name in RabbitMQ.
        rate: messages settled a second, of late.
        settled: messages since the start.
        waiting: messages in RabbitMQ that no worker has yet, up to 10 s ago; None before that
            is known.
        in_hand: messages delivered to workers and not acknowledged yet.
        lag: age of messages at COMMIT; None when none carried a time.
        commit: time to write a batch; None when none was written within the last minute.
        batch: messages in a batch on average within the last minute; None when there was none.
        batch_size: messages in a batch at most, as set.
        flushed_by: share of the last minute's batches by the reason of their flush.
        outcomes: events since the start by what became of them.
        parked: events waiting for their CDR, link or account.
        parked_oldest_s: for how long the oldest of them has been waiting.
        dead_letters: messages dead-lettered since the start by cause, those with none left out.
        dead_waiting: messages in the dead queue, up to 10 s ago; None before that is known.
        redelivered: messages since the start that the broker had delivered before.
    """

    queue: str
    rate: float
    settled: int
    waiting: int | None
    in_hand: int
    lag: Spread | None
    commit: Spread | None
    batch: float | None
    batch_size: int
    flushed_by: dict[str, float]
    outcomes: dict[str, int]
    parked: int
    parked_oldest_s: float
    dead_letters: dict[str, int]
    dead_waiting: int | None
    redelivered: int


class Tally(msgspec.Struct, frozen=True):
    """A count since the start, and how fast it grows.

    Attributes:
        total: since the start.
        rate: a second, of late.
    """

    total: int
    rate: float


class Money(msgspec.Struct, frozen=True):
    """Refunds and the like, in entries of the ledger.

    Attributes:
        waiting: refunds whose time, or whose account's balance, is still to come.
        oldest_s: for how long the oldest of them has been waiting.
        booked: what was booked since the start, by kind: refund, reversal, debit and others.
    """

    waiting: int
    oldest_s: float
    booked: dict[str, int]


class History(msgspec.Struct, frozen=True):
    """Rates of the last minutes, oldest first.

    Attributes:
        seconds: how far back it may reach.
        ages_s: how long ago each point was.
        rates: messages settled a second at each, by stream.
    """

    seconds: float
    ages_s: list[float]
    rates: dict[str, list[float]]


class Status(msgspec.Struct, frozen=True):
    """All of it.

    Attributes:
        at: Unix time of the figures.
        version: of the service.
        host: name of the machine.
        pid: of the supervisor.
        uptime_s: of the supervisor.
        interval_s: how often there are new figures.
    """

    at: float
    version: str
    host: str
    pid: int
    uptime_s: float
    interval_s: float
    headline: Headline
    workers: list[Worker]
    streams: dict[str, Stream]
    statuses: dict[str, Tally]
    money: Money
    history: History
