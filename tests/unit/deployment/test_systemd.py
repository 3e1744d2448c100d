"""The unit for systemd, and its agreement with the service."""

from __future__ import annotations

import re

from service.exits import Exit
from service.settings import Settings
from tests.support.deployment import UNIT, VARIABLES

LINES = [
    tuple(line.split("=", 1)) for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line)
]
VALUES = dict(LINES)


def test_settings_exist_and_secrets_are_where_they_look() -> None:
    environment = dict(value.split("=", 1) for name, value in LINES if name == "Environment")
    credentials = {value.partition(":")[0] for name, value in LINES if name == "LoadCredential"}
    assert set(environment) <= VARIABLES
    files = {value for name, value in environment.items() if name.endswith("_FILE")}
    assert files == {f"%d/{credential}" for credential in credentials}


def test_it_is_started_again_unless_its_settings_are_wrong() -> None:
    assert VALUES["Restart"] == "always"
    assert int(VALUES["RestartPreventExitStatus"]) == Exit.CONFIG


def test_a_drain_is_not_cut_short() -> None:
    assert int(VALUES["TimeoutStopSec"]) > Settings.model_fields["shutdown_timeout"].default
    assert VALUES["KillMode"] == "mixed"  # SIGTERM for the supervisor alone
