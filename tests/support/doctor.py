"""What doctor finds, without the command around it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from unittest.mock import patch

from service.config import load
from service.doctor.examination import examine
from service.doctor.finding import Finding, Level
from tests.support.service import clean_environment


async def findings(
    environment: Mapping[str, str], management_url: str | None = None
) -> list[Finding]:
    """Return all that is found with these settings."""
    with patch.dict(os.environ, clean_environment(environment), clear=True):
        settings = load()
    areas = await examine(settings, None, management_url)
    return [finding for area in areas for finding in area.findings]


def of(found: Iterable[Finding], *levels: Level) -> str:
    """Return what is said at some levels, by default the bad ones, a line each, to search in."""
    wanted = levels or (Level.PROBLEM, Level.WARNING)
    return "\n".join(f"{f.says} -> {f.remedy}" for f in found if f.level in wanted)
