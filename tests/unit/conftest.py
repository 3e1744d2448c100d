from __future__ import annotations

import os

import pytest
import structlog

from service import settings


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this service's variables out of the environment."""
    for name in list(os.environ):
        if name.upper().startswith(settings.ENV_PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def logged():
    """Collect what is logged."""
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as lines:
        yield lines
