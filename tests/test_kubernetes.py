"""The manifests of a cluster are valid and closed, and each name in them exists."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from service.http.metrics import STATS
from service.settings import Settings
from tests.test_compose_files import compose

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.37")  # the oldest one in which a pause before the end works everywhere, and the newest one
FOREIGN = {"Kustomization", "InferenceService"}  # kinds that Kubernetes itself does not have
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in YAML(typ="safe").load_all(text) if document]


MANIFESTS = [
    document
    for path in sorted(FOLDER.rglob("*.yaml"))
    for document in documents(path.read_text(encoding="utf-8"))
]  # fmt: skip
PODS = {
    manifest["metadata"]["name"]: manifest["spec"]["template"]
    for manifest in MANIFESTS
    if manifest["kind"] == "Deployment"
}


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {manifest["metadata"]["name"]: manifest["spec"] for manifest in MANIFESTS if manifest["kind"] == kind}


def valid(manifests: list[dict[str, Any]]) -> int:
    """The number of manifests that were validated, strictly: an unknown key is a mistake."""
    ours = [manifest for manifest in manifests if manifest["kind"] not in FOREIGN]
    for manifest, version in itertools.product(ours, VERSIONS):
        kubernetes_validate.validate(manifest, version, strict=True)
    return len(ours)


def test_each_manifest_has_the_form_of_its_kind() -> None:
    assert valid(MANIFESTS) >= 14
    with pytest.raises(kubernetes_validate.ValidationError):
        valid([{**MANIFESTS[0], "kind": "Namespace", "apiVersion": "v1", "spek": {}}])


@pytest.mark.parametrize("overlay", ["vllm", "kserve"])
def test_an_overlay_is_built_and_valid(overlay: str) -> None:
    """With its model server's address in the configuration of both deployments, and each selected pod there."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which builds overlays, is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER / overlay)], check=True, capture_output=True, text=True, timeout=60
    )
    built = documents(done.stdout)
    assert valid(built) >= 12
    [configuration] = [document for document in built if document["kind"] == "ConfigMap"]
    host = {"vllm": "model:8000/v1", "kserve": "model-predictor/openai/v1"}[overlay]
    assert configuration["data"]["SAMEBOAT_REMOTE_BASE_URL"] == f"http://{host}"
    for document in built:
        if document["kind"] == "Deployment" and document["metadata"]["name"] != "model":
            [container] = document["spec"]["template"]["spec"]["containers"]
            assert container["envFrom"][0] == {"configMapRef": {"name": configuration["metadata"]["name"]}}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_no_right_that_it_does_not_need_and_is_probed(name: str) -> None:
    pod = PODS[name]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert set(PROBES) <= container.keys()
    assert {"cpu", "memory"} == container["resources"]["limits"].keys() == container["resources"]["requests"].keys()
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_settings_exist_and_secrets_are_references_only() -> None:
    """A mistyped setting is ignored by the service, so a test has to find it."""
    known = {f"SAMEBOAT_{field.upper()}" for field in Settings.model_fields} | {"ROLE", "DATABASE_URL"}
    [base] = [manifest for manifest in MANIFESTS if "configMapGenerator" in manifest]
    names = {literal.partition("=")[0] for literal in base["configMapGenerator"][0]["literals"]}
    for name in ("api", "worker"):
        [container] = PODS[name]["spec"]["containers"]
        names |= {variable["name"] for variable in container["env"]}
        assert {"secretRef": {"name": "sameboat"}} in container["envFrom"]
    secrets = {f"SAMEBOAT_{field.upper()}" for field, info in Settings.model_fields.items() if "Secret" in str(info)}
    assert names <= known
    assert not names & (secrets | {"DATABASE_URL"})
    assert not of_kind("Secret")


def test_selectors_find_pods_and_the_metric_of_the_queue_exists() -> None:
    labels = {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in PODS.values()}
    for spec in [*of_kind("PodDisruptionBudget").values(), *of_kind("Deployment").values()]:
        assert spec["selector"]["matchLabels"]["app.kubernetes.io/name"] in labels
    for spec in of_kind("Service").values():
        assert spec["selector"]["app.kubernetes.io/name"] in labels
    metrics = of_kind("HorizontalPodAutoscaler")["api"]["metrics"]
    assert {metric["pods"]["metric"]["name"] for metric in metrics if "pods" in metric} <= {
        spec.name for spec in STATS.values()
    }
    assert of_kind("NetworkPolicy")["closed"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_cluster_of_compose_has_no_model_in_its_api_and_a_model_server_without_a_way_out() -> None:
    """The balancer knows the processes by the name that compose gives them, and they trust only its network."""
    made = compose(ROOT / "compose.yaml")
    services = made["services"]
    assert {name for name, service in services.items() if "cluster" in service.get("profiles", [])} == {
        "db", "vllm", "cluster-api", "balancer", "cluster-worker",
    }  # fmt: skip
    api, balancer = services["cluster-api"], services["balancer"]
    assert api["environment"]["SAMEBOAT_ENGINE"] == "remote"
    assert api["deploy"]["replicas"] == 2
    assert balancer["environment"]["API_NAME"] in services
    assert set(services["vllm"]["networks"]) == {"tokens"}
    assert made["networks"]["tokens"] == made["networks"]["callers"] == {"internal": True}
    assert "VLLM_IMAGE" in services["vllm"]["image"]


def test_the_balancer_reads_its_configuration_and_every_error_of_its_own_says_when_to_come_again() -> None:
    path = ROOT / "deploy" / "balancer" / "haproxy.cfg"
    errors = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip().startswith("http-error")]
    assert [line.split()[2] for line in errors] == ["502", "503", "504"]
    assert all("hdr Retry-After" in line for line in errors)
    if shutil.which("haproxy") is None:
        pytest.skip("HAProxy is not installed")
    environment = {"BALANCER_ADDRESS": "127.0.0.1:7890", "BALANCER_CONNECTIONS": "100", "API_NAME": "localhost"}
    done = subprocess.run(
        [shutil.which("haproxy"), "-c", "-f", str(path)], env=environment, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, "Configuration file is valid" in done.stdout) == (0, True), done.stderr
