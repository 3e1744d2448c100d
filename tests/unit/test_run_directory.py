from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from service import run_directory

HOLD = """
import sys
from service import run_directory
with run_directory.create() as directory:
    print(directory, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(run_directory.VARIABLE, "restored afterwards")


def other_run() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, Path(process.stdout.readline().strip())


def test_it_is_removed_at_the_end():
    with run_directory.create() as directory:
        assert run_directory.path() == directory
        (directory / "file").touch()
    assert not directory.exists()


def test_what_a_killed_run_left_is_removed_and_what_another_one_uses_is_not():
    killed, leftover = other_run()
    killed.kill()
    killed.wait()
    alive, used = other_run()
    assert not leftover.exists()
    with run_directory.create():
        assert used.is_dir()
    alive.communicate("")
    assert alive.returncode == 0
    assert not used.exists()


def test_workers_can_be_started_after_somebody_has_removed_it():
    with run_directory.create() as directory:
        shutil.rmtree(directory)
        for _ in range(2):
            run_directory.restore()
        run_directory.hold()
        assert (directory / "lock").exists()
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not directory.exists()
