"""The manifests for Kubernetes: whole, hardened, and in agreement with the service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bench import PROJECT
from service.broker.topology import BILL, DLR
from service.settings import Settings
from tests.support.deployment import KUBERNETES, VARIABLES, manifests

OBJECTS = {(each["kind"], each["metadata"]["name"]): each for _, each in manifests()}
DEPLOYMENT = OBJECTS["Deployment", "billing-service"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
MIGRATE = OBJECTS["Job", "billing-service-migrate"]["spec"]["template"]["spec"]
KUSTOMIZATIONS = sorted(KUBERNETES.rglob("kustomization.yaml"))
PODS = pytest.mark.parametrize("pod", [POD, MIGRATE], ids=["service", "migrate"])
# The kinds of operators that extend Kubernetes; their schemas come with them.
EXTENSIONS = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1"}
BUILT_IN = [each for each in OBJECTS.values() if each["apiVersion"] not in EXTENSIONS]
KINDS = pytest.mark.parametrize("manifest", BUILT_IN, ids=lambda each: each["kind"])


@KINDS
@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_kubernetes_knows_every_field(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


@KINDS
def test_a_field_that_kubernetes_does_not_know_is_found(manifest: dict[str, Any]) -> None:
    misspelt = {**manifest, "spec": {**manifest["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(misspelt, "1.37", strict=True)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_a_kustomization_names_files_that_exist(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    named = {path.parent / name for name in content["resources"]}
    assert named == {
        other
        for other in path.parent.glob("*.yaml")
        if other.name not in {path.name, "rules.head.yaml"}
    }


def test_settings_exist() -> None:
    base = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    literals = base["configMapGenerator"][0]["literals"]
    given = {literal.partition("=")[0] for literal in literals}
    for pod in (POD, MIGRATE):
        given |= {variable["name"] for variable in pod["containers"][0]["env"]}
    assert given <= VARIABLES
    assert {"BILLING_DATABASE_URL_FILE", "BILLING_WORKERS"} <= given


def test_all_mean_the_same_pods() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    spread = [each["labelSelector"]["matchLabels"] for each in POD["topologySpreadConstraints"]]
    assert labels == {"app.kubernetes.io/name": "billing-service"}
    assert spread == [labels, labels]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service", "billing-service"]["spec"]["selector"] == labels
    for kind, name in (
        ("PodDisruptionBudget", "billing-service"),
        ("ServiceMonitor", "billing-service"),
    ):
        assert OBJECTS[kind, name]["spec"]["selector"]["matchLabels"] == labels
    assert (
        OBJECTS["Service", "billing-service"]["metadata"]["labels"] == labels
    )  # what is monitored


@PODS
def test_secrets_are_files_where_the_settings_look_for_them(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "secrets")
    for variable in container["env"]:
        if variable["name"].endswith("_FILE"):
            assert variable["value"].startswith(mount["mountPath"] + "/")
        assert "secretKeyRef" not in variable.get("valueFrom", {})


@PODS
def test_a_pod_can_do_no_more_than_it_must(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
    user = re.search(r"^USER (\d+):(\d+)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert str(pod["securityContext"]["runAsUser"]) == user[1]
    assert str(pod["securityContext"]["fsGroup"]) == user[2]
    assert "limits" in container["resources"]


def test_a_drain_is_not_cut_short() -> None:
    assert POD["terminationGracePeriodSeconds"] > Settings.model_fields["shutdown_timeout"].default


def test_probes_ask_for_life_and_readiness_where_each_is_meant() -> None:
    (container,) = POD["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness")}
    assert all(each == {"path": "/healthz", "port": "http"} for each in paths.values())
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["ports"] == [
        {
            "name": "http",
            "containerPort": OBJECTS["Service", "billing-service"]["spec"]["ports"][0]["port"],
        }
    ]


def test_the_scaler_counts_ready_messages_of_both_queues() -> None:
    scaler = OBJECTS["ScaledObject", "billing-service"]["spec"]
    assert {each["metadata"]["queueName"] for each in scaler["triggers"]} == {DLR.queue, BILL.queue}
    for trigger in scaler["triggers"]:
        metadata = trigger["metadata"]
        assert (metadata["excludeUnacknowledged"], metadata["protocol"]) == ("true", "http")
        assert all(isinstance(value, str) for value in metadata.values())  # KEDA takes no others
        assert ("TriggerAuthentication", trigger["authenticationRef"]["name"]) in OBJECTS
    assert ("Deployment", scaler["scaleTargetRef"]["name"]) in OBJECTS


def test_the_alerts_for_the_operator_are_those_for_prometheus() -> None:
    rules = (PROJECT / "config/prometheus/rules.yml").read_text()
    head = (KUBERNETES / "monitoring/rules.head.yaml").read_text()
    built = yaml.safe_load(head + re.sub(r"^", "  ", rules, flags=re.MULTILINE))
    assert built["kind"] == "PrometheusRule"
    assert built["spec"] == yaml.safe_load(rules)


def test_the_pages_name_what_is_there() -> None:
    pages = [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    named = set(re.findall(r"\b(deploy|job)[/ ](billing-[\w-]+)", text))
    assert named == {("deploy", "billing-service"), ("job", "billing-service-migrate")}
    for kind, name in named:
        assert ({"deploy": "Deployment", "job": "Job"}[kind], name) in OBJECTS
    (port,) = POD["containers"][0]["ports"]
    forwarded = set(re.findall(r"port-forward deploy/billing-service (\d+)", text))
    assert forwarded == {str(port["containerPort"])}


def test_a_job_is_taken_away_before_it_is_applied_anew() -> None:
    page = (PROJECT / "docs/deployment.md").read_text()
    upgrade = page[page.index("\n## Upgrades") :]
    assert 0 < upgrade.find("kubectl -n sms delete job") < upgrade.find("kubectl apply -k migrate")


def test_versions_of_the_image_agree() -> None:
    from service import __version__  # noqa: PLC0415

    for path in KUSTOMIZATIONS:
        for image in yaml.safe_load(path.read_text()).get("images", []):
            assert image == {"name": "billing-service", "newTag": __version__}
    assert f"billing-service:{__version__}}}" in (PROJECT / "docker-compose.yml").read_text()
