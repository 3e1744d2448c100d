"""The Dockerfile, and what it builds from."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bench import PROJECT
from tests.support.deployment import DOCKERFILE

LOCKS = {
    name: (PROJECT / f"{name}.lock").read_text()
    for name in ("requirements", "requirements-service", "requirements-image")
}
HEALTHY = PROJECT / "config/docker/healthy.py"
TEXT = DOCKERFILE.read_text()


def pins(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return the version and the hashes of each package of a lock file."""
    blocks = re.findall(r"^(\S+?)==(\S+).*\n((?:    --hash=.*\n)+)", LOCKS[lock], re.MULTILINE)
    return {
        name: (version, frozenset(re.findall(r"sha256:\w+", hashes)))
        for name, version, hashes in blocks
    }


def test_the_dockerfile_is_as_hadolint_wants_it() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "--failure-threshold", "info", DOCKERFILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_the_image_has_what_was_tested() -> None:
    tested, deployed = pins("requirements"), pins("requirements-service")
    assert deployed.items() <= tested.items()
    needed = re.search(r"^dependencies = \[\n(.*?)^\]", pyproject(), re.DOTALL | re.MULTILINE)[1]
    assert {name.lower() for name in re.findall(r'"([\w-]+)', needed)} <= deployed.keys()


def test_the_image_has_no_more_than_it_needs() -> None:
    assert {"pytest", "ruff", "locust", "matplotlib", "hatchling"}.isdisjoint(
        pins("requirements-service")
    )


def pyproject() -> str:
    return (PROJECT / "pyproject.toml").read_text()


def test_all_that_is_copied_gets_past_dockerignore() -> None:
    let_in = {
        line.removeprefix("!")
        for line in (PROJECT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source.rstrip("/")
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE)
        for source in sources.split()
    }
    assert copied == let_in
    assert all((PROJECT / source).exists() for source in copied)


def test_it_runs_without_privileges_and_hears_signals() -> None:
    final = TEXT[TEXT.index(" AS runtime") : TEXT.index(" AS demo")]
    assert re.findall(r"^USER (.+)$", final, re.MULTILINE) == ["10001:10001"]
    assert 'ENTRYPOINT ["billing-service"]' in final  # no shell between it and a signal
    assert TEXT.endswith("FROM runtime AS service\n")  # what is built unless told otherwise


# The health check


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()
        self.wfile.write(b"as asked")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def check(path: str, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", HEALTHY, path],
        env={"BILLING_HTTP_PORT": str(port), "http_proxy": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_answers_is_healthy(port: int) -> None:
    assert check("/healthz", port).returncode == 0


def test_what_is_not_ready_says_so(port: int) -> None:
    checked = check("/readyz", port)
    assert (checked.returncode, checked.stderr) == (1, "503 as asked\n")


def test_what_does_not_answer_is_not_healthy(port: int) -> None:
    with HTTPServer(("127.0.0.1", 0), _Answers) as closed:
        unused = closed.server_port
    checked = check("/healthz", unused)
    assert checked.returncode == 1
    assert "no answer" in checked.stderr
