from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support import seed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say with every failure what to repeat it with."""
    report = yield
    if report.failed:
        report.sections.append(("Seed", f"{seed.VARIABLE}={seed.SEED}"))
    return report
