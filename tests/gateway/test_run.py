"""`make run ARGS=--jasmin`, until somebody presses Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.stack.jasmin_environment import find_python

ROOT = Path(__file__).parents[2]
SMS = 20


@pytest.mark.skipif(find_python() is None, reason="Jasmin needs Python 3.11, which is not here")
@pytest.mark.timeout(300)
def test_sms_go_through_jasmin_until_ctrl_c_and_nothing_is_left() -> None:
    with running("--jasmin", "--rate", "20", "--workers", "1") as child:
        assert child.stdout is not None
        seen = [*until_sent(child.stdout)]
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=60)
    output = "".join(seen) + rest
    assert child.returncode == 0, output
    assert "every event is accounted for\n" in rest
    assert "One message, from SMS to settled CDR" in rest
    for step in ("HTTP /send to", "submit.sm.smsc1:", "bill_request.", "CDR: status delivered"):
        assert step in rest
    sent, submitted = (counted(rest, what) for what in ("SMS sent", "events published, submit"))
    assert sent == submitted >= SMS
    assert counted(rest, "events published, dlr") > sent
    assert counted(rest, "events published, bill") > 0
    assert sum(map(int, re.findall(r"│ CDRs \w+ +│ +(\d+) │", rest))) == sent
    place = re.search(r"log: (\.stack/\S+)/", output)
    assert place is not None
    assert not (ROOT / place[1]).exists()
    assert list(processes_in(place[1])) == []


def running(*arguments: str) -> subprocess.Popen[str]:
    configured = {name: value for name, value in os.environ.items() if "BILLING_" not in name}
    return subprocess.Popen(
        [sys.executable, "-m", "bench.demo", *arguments],
        cwd=ROOT,
        env=configured | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_sent(lines: Iterator[str]) -> Iterator[str]:
    """Yield lines until one says that enough was sent."""
    for line in lines:
        yield line
        sent = re.search(r"sent (\d+) SMS", line)
        if sent is not None and int(sent[1]) >= SMS:
            return


def counted(output: str, what: str) -> int:
    """Return a figure of the summary."""
    found = re.search(rf"│ {what} +│ +(\d+) │", output)
    assert found is not None, output
    return int(found[1])


def processes_in(place: str) -> Iterator[str]:
    """Yield the commands of processes that were started with a path in a directory."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if place in command:
            yield command
