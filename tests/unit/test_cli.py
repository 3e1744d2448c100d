from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from service import __version__, supervisor
from service.cli import app
from service.exits import CannotStart, Exit
from service.ops import log

PROJECT = Path(__file__).parents[2]
URL = "postgresql://billing:hunter2@db.example:5432/billing"


@pytest.fixture(autouse=True)
def _clean(no_variables, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str):
    return CliRunner().invoke(app, arguments)


def test_the_version_is_the_packages():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"billing-service {__version__}\n")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_the_commands_the_first_steps_and_the_exit_codes(option):
    result = run(option)
    assert result.exit_code == 0
    for part in ("run", "migrate", "check-config", "doctor", "BILLING_DATABASE_URL", "Exit codes"):
        assert part in result.stdout


@pytest.mark.parametrize("group", [[], ["dlq"]], ids=["all", "dlq"])
def test_on_80_columns_each_command_is_summed_up_in_one_line(monkeypatch, group):
    monkeypatch.setenv("COLUMNS", "80")
    help_ = run(*group, "--help").stdout
    assert "..." not in help_.replace("[ARGS]...", "")
    assert max(map(len, help_.splitlines())) <= 80
    summaries = re.findall(
        r"^  ([a-z-]+) {2,}[A-Z].*\.$", help_.partition("\nCommands:\n")[2], re.MULTILINE
    )
    inner = typer.main.get_command(app).commands
    assert summaries == list(inner["dlq"].commands if group else inner)


@pytest.mark.parametrize("command", ["run", "top", "migrate", "check-config", "doctor"])
def test_every_command_has_help(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--config" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [["runn"], ["run", "--no-such"], ["check-config", "x"], ["doctor", "--jasmin-config", "none"]],
)
def test_wrong_usage_ends_with_2(arguments):
    assert run(*arguments).exit_code == Exit.CONFIG


def test_what_a_terminal_cannot_show_becomes_an_escape():
    given = {"BILLING_DATABASE_URL": URL, "BILLING_JASMIN_AMQP_VHOST": "sms✓"}
    done = subprocess.run(
        [sys.executable, "-m", "service", "check-config"],
        env=os.environ | given | {"PYTHONIOENCODING": "latin-1", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "sms\\u2713" in done.stdout


def test_check_config_shows_each_setting_its_origin_and_no_secret(monkeypatch):
    monkeypatch.setenv("BILLING_DATABASE_URL", URL)
    monkeypatch.setenv("BILLING_JASMIN_AMQP_PASSWORD", "hunter2")
    Path("my.toml").write_text("[dlr]\nflush_ms = 7\n")
    result = run("check-config", "--config", "my.toml")
    assert result.exit_code == 0
    assert "hunter2" not in result.output
    first, *lines = result.stdout.splitlines()
    assert first == "# file: my.toml"
    shown = {line.split(" = ")[0].strip(): line.split(" = ")[1].split("  # ") for line in lines}
    assert [part.strip() for part in shown["dlr.flush_ms"]] == ["7", "file"]
    assert [part.strip() for part in shown["dlr.batch_size"]] == ["1000", "default"]
    assert [part.strip() for part in shown["jasmin.amqp_password"]] == [
        '"********"',
        "BILLING_JASMIN_AMQP_PASSWORD",
    ]
    assert shown["database.url"] == [
        '"postgresql://billing:********@db.example:5432/billing"',
        "BILLING_DATABASE_URL",
    ]


def test_check_config_says_when_there_is_no_file(monkeypatch):
    monkeypatch.setenv("BILLING_DATABASE_URL", URL)
    assert run("check-config").stdout.startswith("# file: none\n")


@pytest.mark.parametrize("command", ["check-config", "run", "migrate", "doctor"])
def test_settings_that_cannot_work_end_with_2_and_one_readable_list(monkeypatch, command):
    monkeypatch.setenv("BILLING_DATABASE_URL", "mysql://billing:hunter2@db/b")
    monkeypatch.setenv("BILLING_DLR_PREFETCH", "10")
    monkeypatch.setenv("BILLING_WORKRES", "1")
    result = run(command)
    assert result.exit_code == Exit.CONFIG == 2
    assert result.stdout == ""
    head, *lines = result.stderr.splitlines()
    assert head == "billing-service: these settings cannot work:"
    assert [line[:4] for line in lines] == ["  - "] * 3
    assert "did you mean BILLING_WORKERS?" in result.stderr
    assert "hunter2" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_does_not_exist_ends_with_2():
    result = run("check-config", "--config", "missing.toml")
    assert result.exit_code == 2
    assert "missing.toml: no such file" in result.stderr


def test_top_asks_where_the_service_listens_whatever_else_is_set(monkeypatch, unused_tcp_port):
    monkeypatch.setenv("BILLING_HTTP_PORT", str(unused_tcp_port))
    monkeypatch.setenv("BILLING_HTTP_HOST", "::")
    monkeypatch.setenv("BILLING_DATABASE_URL", "mysql://")
    result = run("top")
    assert result.exit_code == Exit.CANNOT_START
    assert f"nothing answers at http://[::1]:{unused_tcp_port}" in result.stderr
    monkeypatch.setenv("BILLING_HTTP_PORT", "many")
    result = run("top")
    assert result.exit_code == Exit.CONFIG
    assert "http.port (BILLING_HTTP_PORT)" in result.stderr


def test_top_reads_the_file_and_a_url_wins(unused_tcp_port):
    Path("my.toml").write_text("[http]\nport = 1\n[database]\nurl = 'unfinished'\n")
    assert "http://127.0.0.1:1;" in run("top", "--config", "my.toml").stderr
    url = f"http://127.0.0.1:{unused_tcp_port}"
    assert f"{url};" in run("top", "--config", "my.toml", "--url", url).stderr


@pytest.fixture
def supervised(monkeypatch):
    """Replace the supervisor by one that ends at once; return what it saw."""
    seen = {}
    monkeypatch.setenv("BILLING_DATABASE_URL", URL)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "restored afterwards")
    monkeypatch.setattr(log, "configure", lambda *_, **__: None)

    def note_directory():
        seen["directory"] = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        assert seen["directory"].is_dir()

    class Supervisor:
        ends = Exit.OK

        def __init__(self, settings, load):
            assert load() == settings
            seen["settings"] = settings

        async def run(self):
            note_directory()
            if isinstance(self.ends, Exception):
                raise self.ends
            return self.ends

    monkeypatch.setattr(supervisor, "Supervisor", Supervisor)
    seen["supervisor"] = Supervisor
    return seen


@pytest.mark.parametrize("ends", [Exit.OK, Exit.CANNOT_START, Exit.ABANDONED])
def test_run_ends_as_its_supervisor_does_and_leaves_nothing_behind(supervised, ends):
    supervised["supervisor"].ends = ends
    assert run("run").exit_code == ends
    assert supervised["settings"].dlr.batch_size == 1000
    assert not supervised["directory"].exists()


def test_run_ends_with_3_and_the_reason_when_waiting_will_not_help(supervised, logged):
    supervised["supervisor"].ends = CannotStart("cannot listen on 127.0.0.1:80")
    assert run("run").exit_code == 3
    assert [(line["log_level"], line["event"]) for line in logged] == [
        ("critical", "cannot listen on 127.0.0.1:80")
    ]


def test_run_ends_with_2_and_a_line_where_no_temporary_file_can_be_written():
    done = subprocess.run(
        [sys.executable, "-m", "service", "run"],
        env=os.environ | {"BILLING_DATABASE_URL": URL, "PYTHONPATH": str(PROJECT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("billing-service: no directory for temporary files, where the metrics ")
    assert line.endswith("; set TMPDIR to one that can be written and has room")


def test_exit_codes_are_those_that_help_and_the_documentation_tell_of():
    codes = [str(int(code)) for code in Exit]
    told = run("--help").stdout.partition("Exit codes:\n")[2]
    assert re.findall(r"^ +(\d+)  ", told, re.MULTILINE) == codes
    page = (PROJECT / "docs/operations.md").read_text()
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == codes


def test_the_command_line_loads_no_metrics_before_it_has_a_directory_for_them():
    code = "import sys, service.cli; print(*sys.modules)"
    listed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=PROJECT)
    assert "service.ops.metrics" not in listed.split()


def test_a_worker_does_not_load_the_command_line():
    """It imports the supervisor's main module, as every process does that is spawned."""
    code = "import sys, service.__main__, service.process; print(*sys.modules)"
    listed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=PROJECT)
    loaded = set(listed.split())
    assert "service.worker" in loaded
    assert loaded.isdisjoint({"service.cli", "service.config", "typer", "alembic", "aiohttp"})
