from __future__ import annotations

import socket
from collections.abc import Generator, Iterator

import pytest

from tests.support import seed


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 at which nobody listens, and nobody else can until the test ends."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say with every failure what to repeat it with."""
    report = yield
    if report.failed:
        report.sections.append(("Seed", f"{seed.VARIABLE}={seed.SEED}"))
    return report
