from __future__ import annotations

import random

import pytest

from service import retry
from service.outage import Outage


async def attempt_until(failures, errors=(OSError,), what="worker-1 died young", **options):
    """Fail with each of ``failures``, then succeed; return the delays between the attempts."""
    left = list(failures)
    delays = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    async for attempt in retry.patiently(what, errors, sleep, **options):
        with attempt:
            if left:
                raise left.pop(0)
    assert not left
    return delays


async def test_an_outage_is_waited_out(logged):
    assert len(await attempt_until([OSError()] * 40)) == 40


async def test_success_at_once_waits_for_nothing(logged):
    assert await attempt_until([]) == []
    assert logged == []


async def test_another_error_goes_up_at_once(logged):
    with pytest.raises(KeyError):
        await attempt_until([OSError(), KeyError()])
    with pytest.raises(ConnectionRefusedError):
        await attempt_until([ConnectionRefusedError()], unless=(ConnectionRefusedError,))


async def test_delays_grow_to_a_limit_and_differ_between_workers(logged):
    random.seed(1)
    one, other = [await attempt_until([OSError()] * 60) for _ in range(2)]
    limit = retry.LIMIT_SECONDS + retry.FIRST_SECONDS
    assert max(one[:1] + other[:1]) <= 2 * retry.FIRST_SECONDS
    assert max(one[:3]) < 1.1 < max(one) <= limit
    assert len(set(one + other)) == 120
    assert min(one) > 0


async def test_each_wait_is_logged_as_an_error_with_its_cause(logged):
    await attempt_until([OSError("connection refused"), TimeoutError()])
    assert [line["log_level"] for line in logged] == ["error", "error"]
    assert [line["event"] for line in logged] == ["worker-1 died young; trying again"] * 2
    assert [line["error"] for line in logged] == ["connection refused", "TimeoutError"]
    assert [line["attempt"] for line in logged] == [1, 2]


async def test_an_outage_is_told_of_each_and_itself_tells_the_log(logged):
    outage = Outage("PostgreSQL", "db.example:5432")
    for _ in range(2):
        await attempt_until([OSError("connection refused\nis it running?")] * 5, what=outage)
    (line,) = logged
    assert line["event"] == "PostgreSQL is away; trying again"
    assert (line["error"], line["server"]) == ("connection refused", "db.example:5432")
