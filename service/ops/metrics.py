"""Every metric, declared once.

prometheus_client keeps one file for each process in the run's directory, which must be there
before it is first imported: the CLI sees to it before it imports anything that counts. The
supervisor adds the files up, so a figure is right across restarts of workers.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2.5, 5)
_LONG_SECONDS = (*_SECONDS, 10, 30, 60, 300, 3600)
_EVENTS = (1, 10, 50, 100, 250, 500, 1000, 2000, 5000, 10_000, 50_000)

EVENTS = Counter(
    "billing_events_total",
    "Events by what became of them: applied, unchanged, conflict, parked, part, refused, requeued",
    ["stream", "outcome"],
)
STATUSES = Counter(
    "billing_cdr_statuses_total", "CDRs moved or confirmed, by the status of the event", ["status"]
)
UNKNOWN_STATUSES = Counter(
    "billing_unknown_statuses_total", "Receipts whose status text no table has; taken as pending"
)
BATCHES = Counter(
    "billing_batches_total", "Batches by the reason of their flush", ["stream", "reason"]
)
BATCH_EVENTS = Histogram("billing_batch_events", "Messages in a batch", ["stream"], buckets=_EVENTS)
DECODE_SECONDS = Histogram(
    "billing_decode_seconds", "Time to decode a batch", ["stream"], buckets=_SECONDS
)
COMMIT_SECONDS = Histogram(
    "billing_commit_seconds",
    "Time to write a batch, to the end of COMMIT, waiting for the database included",
    ["stream"],
    buckets=_LONG_SECONDS,
)
PUBLISH_TO_COMMIT_SECONDS = Histogram(
    "billing_publish_to_commit_seconds",
    "Age at COMMIT of the first message of a batch, where it carries a timestamp",
    ["stream"],
    buckets=_LONG_SECONDS,
)
UNACKNOWLEDGED = Gauge(
    "billing_unacknowledged",
    "Messages delivered to workers and not acknowledged yet",
    ["stream"],
    multiprocess_mode="livesum",
)
PARKED = Gauge(
    "billing_parked",
    "Events waiting for their CDR, link or account",
    ["stream"],
    multiprocess_mode="mostrecent",
)
PARKED_OLDEST_SECONDS = Gauge(
    "billing_parked_oldest_seconds",
    "For how long the oldest of them has been waiting",
    ["stream"],
    multiprocess_mode="mostrecent",
)
MONEY = Counter(
    "billing_money_total",
    "Ledger entries booked: refund, reversal, debit; refunds kept after a delivery, voided because "
    "they were not owed after all, or given up as nothing is known to have been charged",
    ["kind"],
)
REFUNDS_WAITING = Gauge(
    "billing_refunds_waiting",
    "Refunds not booked yet: their time or their account's balance is still to come",
    multiprocess_mode="mostrecent",
)
REFUNDS_OLDEST_SECONDS = Gauge(
    "billing_refunds_oldest_seconds",
    "For how long the oldest of them has been waiting",
    multiprocess_mode="mostrecent",
)
REDELIVERED = Counter(
    "billing_redelivered_total", "Messages that the broker had delivered before", ["stream"]
)
CIRCUIT_OPEN = Gauge(
    "billing_circuit_open",
    "Workers that hold their batches because PostgreSQL is away",
    multiprocess_mode="livesum",
)
CIRCUIT_OPENED = Counter(
    "billing_circuit_opened_total", "How often a worker's circuit to PostgreSQL opened"
)
DEAD_LETTERS = Counter(
    "billing_dead_letters_total",
    "Messages that this service put into a dead queue: malformed, refused by the database, failed "
    "too often, or expired while they were parked",
    ["stream", "cause"],
)
QUEUE_MESSAGES = Gauge(
    "billing_queue_messages",
    "Messages that waited in RabbitMQ when a worker last declared the queue, every 10 s",
    ["queue"],
    multiprocess_mode="mostrecent",
)
BROKER_CONNECTED = Gauge(
    "billing_broker_connected",
    "Workers that are consuming from RabbitMQ",
    multiprocess_mode="livesum",
)
DATABASE_CONNECTED = Gauge(
    "billing_database_connected",
    "Workers whose last statement PostgreSQL answered",
    multiprocess_mode="livesum",
)
WORKERS = Gauge("billing_workers", "Worker processes alive", multiprocess_mode="livesum")
WORKER_RESTARTS = Counter(
    "billing_worker_restarts_total", "Worker processes started again after they died"
)
WORKER_HANGS = Counter(
    "billing_worker_hangs_total", "Worker processes killed because their event loop hung"
)

# A series that begins with its first event shows no increase for it: those that alerts wait for
# begin at 0.
for _stream in ("dlr", "bill", "submit"):
    for _cause in ("malformed", "database", "failed", "expired"):
        DEAD_LETTERS.labels(_stream, _cause)
    EVENTS.labels(_stream, "requeued")
    REDELIVERED.labels(_stream)
MONEY.labels("given up")
