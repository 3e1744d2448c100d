from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import PROJECT
from bench.stack import StackError, packages
from bench.versions import matrix, servers
from bench.versions.matrix import Outcome, Pair

REPORT = """<?xml version="1.0"?>
<testsuites><testsuite>
<testcase classname="tests.a" name="one"/>
<testcase classname="tests.a" name="two"><failure message="no"/></testcase>
<testcase classname="tests.b" name="three"><error message="no"/></testcase>
<testcase classname="tests.b" name="four"><skipped/></testcase>
</testsuite></testsuites>
"""


def test_every_database_is_run_with_the_first_broker_and_two_with_the_others():
    assert matrix.pairs(["a", "b", "c"], ["13", "14", "18"]) == [
        Pair("a", "13"),
        Pair("a", "14"),
        Pair("a", "18"),
        Pair("b", "13"),
        Pair("b", "18"),
        Pair("c", "13"),
        Pair("c", "18"),
    ]
    assert matrix.pairs(["a", "b"], ["17"]) == [Pair("a", "17"), Pair("b", "17")]


def test_what_pytest_reports_is_counted_by_how_it_went(tmp_path: Path):
    (tmp_path / "report.xml").write_text(REPORT)
    outcome = Outcome.read(tmp_path / "report.xml", 1.5)
    assert outcome == Outcome(1, ["tests.a::two", "tests.b::three"], 1, 1.5)


@pytest.mark.parametrize("name", matrix.TESTS)
def test_all_that_is_to_be_run_exists(name: str):
    assert (PROJECT / name).is_file()


def test_other_programs_of_postgresql_are_used_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("postgres", "initdb"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("STACK_POSTGRES_BINDIR", str(tmp_path))
    assert packages.POSTGRES.bindir() == tmp_path
    (tmp_path / "initdb").unlink()
    with pytest.raises(StackError):
        packages.POSTGRES.bindir()


def test_a_prefix_of_rabbitmq_is_split_as_a_shell_would(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STACK_RABBITMQ_PREFIX", "with_usr.sh '/a place'")
    assert packages.rabbitmq_prefix() == ["with_usr.sh", "/a place"]
    monkeypatch.delenv("STACK_RABBITMQ_PREFIX")
    assert packages.rabbitmq_prefix() == []


def test_a_command_that_fails_says_which_and_why():
    with pytest.raises(StackError, match="not installed here: no-such-program"):
        servers._run("no-such-program")
    with pytest.raises(StackError, match=r"(?s)sh -c .* failed:.*because"):
        servers._run("sh", "-c", "echo because >&2; exit 3")


def test_the_script_that_lays_a_usr_over_this_one_is_a_program():
    assert subprocess.run(["sh", "-n", servers._WITH_USR], check=False).returncode == 0
    assert servers._WITH_USR.stat().st_mode & 0o100
