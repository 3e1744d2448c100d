"""Prometheus itself takes the configuration, the rules and the queries, and the alerts fire."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench.stack import packages
from bench.stack.install import ensure_installed
from tests.support.monitoring import PROMETHEUS, targets


@pytest.fixture(scope="module", autouse=True)
def _prometheus() -> None:
    """Install it where it is missing."""
    ensure_installed(print, packages.PROMETHEUS)


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        [packages.PROMETHEUS.bindir() / "promtool", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_alerts_fire_when_they_should_and_at_no_other_time() -> None:
    promtool("test", "rules", PROMETHEUS / "rules_test.yml")


def test_the_queries_of_the_dashboard_are_promql(tmp_path: Path) -> None:
    queries = [target["expr"] for target in targets()]
    variables = {"$__rate_interval": "5m", "$__interval": "1m"}
    for variable, value in variables.items():
        queries = [query.replace(variable, value) for query in queries]
    rules = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", path)
