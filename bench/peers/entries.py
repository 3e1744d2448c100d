"""Who takes part, with which settings and with how many events."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bench.lab.contestant import Contestant
from bench.lab.place import Place
from bench.lab.workload import Workload


class Entry(NamedTuple):
    """A contestant, and what it is given in each round."""

    contestant: Contestant
    workload: Workload


class Peer(NamedTuple):
    """A program that does the service's work in another way.

    Attributes:
        name: shown in results.
        module: of this package; None is the compiled consumer.
        prefetch: of each of its processes.
        batch_size: events in one transaction.
    """

    name: str
    module: str | None
    prefetch: int
    batch_size: int = 1


_PEERS = (
    Peer("specification as written", "specification", prefetch=20),
    Peer("FastStream with asyncpg", "faststream_app", prefetch=200),
    Peer("plain aio-pika, batches", "plain", prefetch=2000, batch_size=1000),
)
_CEILING = Peer("bare UPDATE in C", None, prefetch=2000, batch_size=1000)


def peers(
    place: Place, workload: Workload, slow_events: int, copies: int, consumer: Path | None
) -> list[Entry]:
    """Return everyone but the service.

    Args:
        place: where they work.
        workload: what those who write batches are given.
        slow_events: of the workload, for those with a transaction for each, who would take for
            ever over all of it.
        copies: processes of each.
        consumer: the compiled one; without it there is no ceiling.
    """
    slow = replace(workload, events=min(slow_events, workload.events))
    chosen = [*_PEERS, *([_CEILING] if consumer else [])]
    return [
        Entry(
            _contestant(peer, place, workload, copies, consumer),
            workload if peer.batch_size > 1 else slow,
        )
        for peer in chosen
    ]


def _contestant(
    peer: Peer, place: Place, workload: Workload, copies: int, consumer: Path | None
) -> Contestant:
    python = [sys.executable, "-m", f"{__package__}.{peer.module}"]
    return Contestant(
        name=peer.name,
        command=tuple(python if peer.module else [str(consumer)]),
        variables={
            "PEER_AMQP_URL": place.amqp_url,
            "PEER_DATABASE_URL": place.database.dsn,
            "PEER_QUEUE": workload.source.queue,
            "PEER_PREFETCH": str(peer.prefetch),
            "PEER_BATCH_SIZE": str(peer.batch_size),
        },
        copies=copies,
        settings={
            "workers": copies,
            "prefetch": peer.prefetch,
            "batch_size": peer.batch_size,
        },
    )
