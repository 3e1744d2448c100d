"""The files that an operator deploys with, read as the tools read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from bench import PROJECT
from service.config import CONFIG_VARIABLE
from service.settings import SECRET_FILES, fields, variable_of

COMPOSE: Final = PROJECT / "docker-compose.yml"
DOCKERFILE: Final = PROJECT / "Dockerfile"
KUBERNETES: Final = PROJECT / "config/kubernetes"
UNIT: Final = PROJECT / "config/systemd/billing-service.service"
DEMO_ENVIRONMENT: Final = PROJECT / "config/docker/demo.env"
DEMO_SECRETS: Final = PROJECT / "config/docker/demo-secrets"

# Every variable that the service reads.
VARIABLES: Final = {
    CONFIG_VARIABLE,
    *SECRET_FILES,
    *(variable_of(section, name) for section, name, _ in fields()),
}
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")


def compose(**environment: str) -> dict[str, Any]:
    """Return the Compose file with its variables filled in: those given, else their defaults."""
    text = _VARIABLE.sub(
        lambda found: environment.get(found[1], found[2] or ""), COMPOSE.read_text()
    )
    return yaml.safe_load(text)


def demonstration() -> dict[str, Any]:
    """Return the Compose file as it is with the variables of the demonstration."""
    lines = DEMO_ENVIRONMENT.read_text().splitlines()
    return compose(**dict(line.split("=", 1) for line in lines if line and line[0] != "#"))


def manifests() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every object for Kubernetes, with its file."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        if path.name not in {"kustomization.yaml", "rules.head.yaml"}:
            for manifest in yaml.safe_load_all(path.read_text()):
                yield path, manifest


def seconds(duration: str) -> float:
    """Return a duration of Compose, such as 45s, in seconds."""
    number, unit = re.fullmatch(r"(\d+)(s|m)", duration).groups()
    return float(number) * {"s": 1, "m": 60}[unit]
