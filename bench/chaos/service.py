"""The service under test, as systemd would run it: started again whenever it ends."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bench.demo.process import ServiceProcess
from bench.lab.log import JsonLog

_RSS: Final = "VmRSS:"


class Life(ServiceProcess):
    """One supervisor with its workers, from start to end."""

    def __init__(self, settings: Mapping[str, str], log: Path, code: Path) -> None:
        super().__init__(settings, log, code)
        self._log = JsonLog(log)
        self.url: str | None = None
        self.workers: dict[int, int] = {}
        """The newest process id of each worker."""

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        if self._child is not None:
            self._child.send_signal(signum)

    def kill_group(self) -> None:
        """Kill what is left of it."""
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def read_log(self) -> Iterator[dict[str, Any]]:
        """Yield the lines that are new; learn from them where it listens, and its workers."""
        for entry in self._log.new_lines():
            if entry["event"] == "starting":
                self.url = entry["http"]
            elif entry["event"] == "worker started":
                self.workers[entry["worker"]] = entry["pid"]
            yield entry


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(_RSS):
                return int(line.split()[1]) * 1024
    return 0


def send(pid: int, signum: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
