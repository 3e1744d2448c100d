from __future__ import annotations

import pytest

from service import session, versions
from service.exits import CannotStart


@pytest.mark.parametrize("major", [9, 12])
def test_a_postgresql_that_is_too_old_is_refused_with_what_is_needed(major):
    with pytest.raises(CannotStart) as refused:
        versions.check_postgresql(major)
    text = str(refused.value)
    assert f"PostgreSQL {major} is too old" in text
    assert "13 or later" in text
    assert "BILLING_DATABASE_URL" in text


@pytest.mark.parametrize("major", [13, 18, 25])
def test_the_oldest_that_was_tested_and_all_later_ones_are_taken(major):
    versions.check_postgresql(major)


@pytest.mark.parametrize(
    ("version", "is_old"),
    [
        ("3.9.29", True),
        ("2.8.4", True),
        ("3.10.0", False),
        ("3.10.8", False),
        ("3.13.7+1", False),
        ("4.0.5", False),
        ("4.3.0-rc.1", False),
        ("10.0", False),
        ("", False),
        ("LavinMQ", False),
    ],
)
def test_versions_of_rabbitmq_are_compared_as_numbers(version, is_old):
    assert versions.is_old_rabbitmq(version) is is_old


@pytest.mark.parametrize(
    ("version", "level", "said"),
    [("3.9.29", "warning", "RabbitMQ 3.9.29 is older than 3.10"), ("4.0.5", "info", "connected")],
)
def test_a_worker_tells_which_broker_it_is_and_warns_of_an_old_one(logged, version, level, said):
    session._tell_version(version)
    assert [line["log_level"] for line in logged] == [level]
    assert logged[0]["event"].startswith(said)
