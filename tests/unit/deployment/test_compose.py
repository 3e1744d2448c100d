"""docker-compose.yml: valid, whole, hardened, and in agreement with the service's settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from bench import PROJECT
from bench.smsc.__main__ import PORT
from service.config import load
from service.settings import Settings
from tests.support.deployment import (
    COMPOSE,
    DEMO_ENVIRONMENT,
    DEMO_SECRETS,
    DOCKERFILE,
    VARIABLES,
    demonstration,
    seconds,
)

FILE = demonstration()
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = ("billing-service", "migrate")
each_service = pytest.mark.parametrize("name", SERVICES)


def test_it_is_what_the_specification_of_compose_allows() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*command, COMPOSE], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", OURS)
def test_the_settings_exist_and_work(
    name: str, no_variables: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = SERVICES[name]["environment"]
    assert set(environment) <= VARIABLES
    for variable, value in environment.items():
        inside = str(value).replace("/run/secrets", str(DEMO_SECRETS))
        monkeypatch.setenv(variable, inside)
    url = urlsplit(load().database.url.get_secret_value())
    assert (url.hostname, url.path) == ("postgres", "/billing")
    assert url.username == {"billing-service": "billing_service"}.get(name, "billing_migrator")


def test_any_other_setting_has_its_place_in_a_file_that_git_ignores() -> None:
    ((path, required),) = [each.values() for each in SERVICES["billing-service"]["env_file"]]
    assert not required
    assert f"/{path}" in (PROJECT / ".gitignore").read_text().splitlines()
    assert f"a file `{path}`" in (PROJECT / "docs/deployment.md").read_text()


def test_no_secret_is_a_variable() -> None:
    for name, service in SERVICES.items():
        for variable in service.get("environment", {}):
            assert not re.search(r"PASS|SECRET|URL", variable) or variable.endswith("_FILE"), name


@each_service
def test_what_is_mounted_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            assert (PROJECT / source).exists(), source
            assert mode == ["ro"], target
        else:
            assert source in FILE["volumes"]
    for secret in SERVICES[name].get("secrets", []):
        assert (PROJECT / FILE["secrets"][secret]["file"]).is_file()


@each_service
def test_an_image_is_pinned_and_targets_exist(name: str) -> None:
    assert re.search(r":v?\d+(\.\d+)*(-\w+)*$", SERVICES[name]["image"])
    if build := SERVICES[name].get("build"):
        assert f" AS {build['target']}\n" in DOCKERFILE.read_text()


@each_service
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@each_service
def test_what_is_in_memory_can_be_written_by_its_user(name: str) -> None:
    # Docker gives a tmpfs to root, with the mode of the directory in the image.
    for tmpfs in SERVICES[name].get("tmpfs", []):
        path, _, options = tmpfs.partition(":")
        assert path == "/tmp" or "mode=1777" in options.split(","), path


@each_service
def test_what_runs_is_limited_and_started_again(name: str) -> None:
    service = SERVICES[name]
    if service["restart"] == "unless-stopped":
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    else:
        conditions = [
            other["depends_on"][name]["condition"]
            for other in SERVICES.values()
            if name in other.get("depends_on", {})
        ]
        assert conditions
        assert set(conditions) == {"service_completed_successfully"}, "a step that nobody waits for"


@each_service
def test_what_is_waited_for_is_there_and_says_when_it_is_well(name: str) -> None:
    service = SERVICES[name]
    for other, how in service.get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
        profiles = SERVICES[other].get("profiles")
        assert not profiles or set(service.get("profiles", [])) <= set(profiles), other
        assert set(service.get("profiles", [])) or not profiles, other


def test_a_drain_is_not_cut_short() -> None:
    service = SERVICES["billing-service"]
    drain = Settings.model_fields["shutdown_timeout"].default
    assert seconds(service["stop_grace_period"]) > drain
    assert "BILLING_SHUTDOWN_TIMEOUT" not in service["environment"]


def test_prometheus_finds_what_it_scrapes() -> None:
    prometheus = yaml.safe_load((PROJECT / "config/prometheus/prometheus.yml").read_text())
    own, broker = prometheus["scrape_configs"]
    hosts = {
        *own["dns_sd_configs"][0]["names"],
        broker["static_configs"][0]["targets"][0].rpartition(":")[0],
    }
    for host in hosts:
        assert set(SERVICES[host]["networks"]) & set(SERVICES["prometheus"]["networks"])


def test_jasmin_finds_the_operator() -> None:
    lines = (PROJECT / "config/docker/demo.jcli").read_text().splitlines()
    connector = dict(line.split() for line in lines if line.startswith(("host ", "port ")))
    assert connector == {"host": "smsc", "port": str(PORT)}
    assert SERVICES["smsc"]["command"] == ["bench.smsc", "--host", "0.0.0.0"]
    assert set(SERVICES["smsc"]["networks"]) & set(SERVICES["jasmin"]["networks"])


def test_the_demonstration_has_containers_and_volumes_of_its_own() -> None:
    project = re.search(r"^COMPOSE_PROJECT_NAME=(.+)$", DEMO_ENVIRONMENT.read_text(), re.MULTILINE)
    assert project
    assert project[1] != FILE["name"]


def test_rabbitmq_adds_no_header_that_jasmin_cannot_read() -> None:
    configuration = (PROJECT / "config/rabbitmq/rabbitmq.conf").read_text()
    assert not re.search(r"^message_interceptors", configuration, re.MULTILINE)


def test_the_demonstration_has_one_user() -> None:
    lines = (PROJECT / "config/docker/demo.jcli").read_text().splitlines()
    user = {line.split()[0]: line.split()[1] for line in lines if line.startswith(("uid", "user"))}
    assert "VALUES ('demo', 'customer'" in (PROJECT / "config/docker/demo.sql").read_text()
    command = SERVICES["traffic"]["command"]
    assert user["uid"] == "demo" == command[command.index("--user") + 1]


# The passwords


def make_secrets(directory: Path) -> None:
    script = PROJECT / "config/docker/secrets.sh"
    subprocess.run(["sh", script, directory], check=True, capture_output=True)


def test_secrets_are_made_once_and_fit_together(tmp_path: Path) -> None:
    made = tmp_path / "secrets"
    make_secrets(made)
    first = {path.name: path.read_text() for path in made.iterdir()}
    assert set(first) == set(FILE["secrets"]) == {path.name for path in DEMO_SECRETS.iterdir()}
    passwords = [text for name, text in first.items() if name.endswith("_password")]
    assert len(set(passwords)) == len(passwords)
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)
    assert urlsplit(first["database_url"]).password == first["service_password"]
    assert urlsplit(first["migrate_url"]).password == first["migrator_password"]
    assert made.stat().st_mode & 0o777 == 0o700
    make_secrets(made)
    assert {path.name: path.read_text() for path in made.iterdir()} == first
