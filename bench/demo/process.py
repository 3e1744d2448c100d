"""billing-service as a child process."""

import sys
from collections.abc import Mapping
from pathlib import Path

from bench import PROJECT
from bench.stack.program import Program


class ServiceProcess(Program):
    """Runs ``billing-service`` with ``settings`` (its BILLING_* variables) and no others.

    The package that runs is the one found in ``code``.
    """

    def __init__(self, settings: Mapping[str, str], log: Path, code: Path = PROJECT) -> None:
        super().__init__("billing-service", _command("run"), settings, log, code)

    def migrate(self) -> None:
        """Create or update the tables. Raises ProgramFailed."""
        code = self._spawn(_command("migrate")).wait()
        if code != 0:
            raise self._failure("billing-service migrate", code)


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "service", name]
