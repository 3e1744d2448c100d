from __future__ import annotations

import socket
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support import seed
from tests.support.order import spread

# How long an example takes says something of the machine alone.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Each of their tests takes a minute or more.
LONG = ("tests/faults/", "tests/gateway/")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 at which nobody listens, and nobody else can until the test ends."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every process of pytest-xdist begin with its share of the long tests."""
    processes = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    first = [item for item in items if item.nodeid.startswith(LONG)]
    others = [item for item in items if not item.nodeid.startswith(LONG)]
    items[:] = spread(first, others, processes)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say with every failure what to repeat it with."""
    report = yield
    if report.failed:
        report.sections.append(("Seed", f"{seed.VARIABLE}={seed.SEED}"))
    return report
