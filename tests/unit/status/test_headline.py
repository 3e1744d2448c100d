from __future__ import annotations

import pytest

from service import pulse
from service.status.document import Health, Worker, WorkerState
from service.status.headline import STARTING_SECONDS, headline, worker_state
from service.store.circuit import State

OLD = STARTING_SECONDS + 1


def life(**beat) -> pulse.Pulse:
    found = pulse.Pulse()
    found.beat(**{"consuming": True, "writable": True} | beat)
    return found


NOT_CONSUMING = {"consuming": False}
NOT_WRITABLE = {"writable": False}


@pytest.mark.parametrize(
    ("beat", "age", "expected"),
    [
        ({}, 1, WorkerState.READY),
        (NOT_CONSUMING, 1, WorkerState.STARTING),
        (NOT_CONSUMING, OLD, WorkerState.BROKER_AWAY),
        (NOT_CONSUMING | NOT_WRITABLE, OLD, WorkerState.DATABASE_AWAY),
        (NOT_WRITABLE, OLD, WorkerState.DATABASE_AWAY),
        (NOT_WRITABLE | {"circuit": State.OPEN}, 1, WorkerState.DATABASE_AWAY),
        (NOT_WRITABLE | {"circuit": State.HALF_OPEN}, OLD, WorkerState.DATABASE_AWAY),
        # After the hold limit it has closed its channel, too.
        (NOT_CONSUMING | NOT_WRITABLE | {"circuit": State.OPEN}, OLD, WorkerState.DATABASE_AWAY),
    ],
)
def test_what_a_worker_is_at(beat, age, expected):
    assert worker_state(life(**beat), age) == expected


def test_a_worker_that_has_not_said_anything_is_starting():
    assert worker_state(pulse.Pulse(), OLD) == WorkerState.STARTING


def test_a_worker_that_has_consumed_before_is_not_starting_any_more():
    sign = life()
    sign.beat(consuming=False, writable=True)
    assert worker_state(sign, 1) == WorkerState.BROKER_AWAY


def test_a_worker_whose_loop_stands_still_is_silent(monkeypatch):
    sign = life()
    monkeypatch.setattr(pulse, "STALE_SECONDS", 0)
    assert worker_state(sign, OLD) == WorkerState.SILENT


READY, STARTING = WorkerState.READY, WorkerState.STARTING
DATABASE, BROKER = WorkerState.DATABASE_AWAY, WorkerState.BROKER_AWAY
SILENT, MISSING = WorkerState.SILENT, WorkerState.MISSING


@pytest.mark.parametrize(
    ("states", "figures", "title", "level", "said"),
    [
        ([READY, READY], {"rate": 1234.5}, "Settling", "good", "1,234 events/s; 2 of 2 workers"),
        ([READY], {"rate": 0.25}, "Settling", "good", "0.2 events/s; 1 of 1 worker ready"),
        ([READY], {"rate": 5.0, "waiting": 9000}, "Settling", "good", "9,000 waiting in RabbitMQ"),
        ([READY, READY], {}, "Idle", "quiet", "no events just now"),
        ([READY], {"stuck": 1, "in_hand": 3}, "Stalled", "warning", "1 event in hand, none"),
        ([READY, DATABASE], {"rate": 5.0}, "Settling", "warning", "1 of 2 workers ready, 1 data"),
        ([DATABASE] * 2, {"in_hand": 1234}, "Database away", "bad", "holding 1,234 events"),
        ([DATABASE, BROKER], {"in_hand": 1}, "Database away", "bad", "holding 1 event;"),
        ([BROKER, BROKER], {}, "Broker away", "bad", "events wait in RabbitMQ"),
        ([BROKER, STARTING], {}, "Broker away", "bad", "goes on by itself"),
        ([STARTING, STARTING], {}, "Starting", "quiet", "no worker consumes yet"),
        ([MISSING, STARTING], {}, "Starting", "quiet", "no worker"),
        ([SILENT, STARTING], {}, "No worker", "bad", "the log says why"),
        ([MISSING], {}, "No worker", "bad", "the log says why"),
        ([], {}, "No worker", "bad", "the log says why"),
        ([READY], {"draining": True, "in_hand": 7}, "Draining", "warning", "7 events in hand"),
        ([DATABASE], {"draining": True}, "Draining", "warning", "0 events in hand"),
    ],
)
def test_the_worst_is_said_first(states, figures, title, level, said):
    workers = [Worker(number, state, "closed") for number, state in enumerate(states, 1)]
    nothing = {"draining": False, "rate": 0.0, "in_hand": 0, "stuck": 0, "waiting": 0}
    found = headline(workers, **nothing | figures)
    assert (found.title, found.level) == (title, Health(level))
    assert said in found.detail
