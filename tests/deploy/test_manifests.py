"""compose.yaml, the Kubernetes manifests, the systemd unit and the Dockerfile: valid, and true to the server."""

import importlib.resources
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dockerfile
import jsonschema
import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs]
import pytest
import yaml

from headwater.cli.worker import CLOSE_WITHIN
from headwater.settings import Settings
from headwater.web.routes.conversation_files import IMPORT_BYTES

ROOT = dockerfile.ROOT
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
KUBERNETES: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text()))
UNIT = (ROOT / "deploy/headwater.service").read_text()
DRAIN = float(Settings.model_fields["drain"].default)
ENDS_WITHIN = DRAIN + 2 * CLOSE_WITHIN
"""Seconds after which a server with workers has ended at the latest."""


def manifest(kind: str) -> dict[str, Any]:
    """The one manifest of this kind."""
    (found,) = (each for each in KUBERNETES if each["kind"] == kind)
    return found


def pod() -> dict[str, Any]:
    """The specification of the Deployment's pods."""
    return manifest("Deployment")["spec"]["template"]["spec"]


def in_seconds(written: str) -> float:
    """A duration such as `60s`."""
    found = re.fullmatch(r"(\d+)s?", written)
    assert found, written
    return float(found[1])


def test_the_compose_file_is_valid() -> None:
    """By the schema of the Compose specification."""
    schemas = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text())
    jsonschema.validate(COMPOSE, schema)


@pytest.mark.parametrize("document", KUBERNETES, ids=lambda document: document["kind"])
def test_the_manifests_are_valid(document: dict[str, Any]) -> None:
    """By the schemas of the Kubernetes API, which here allow no unknown field."""
    kubernetes_validate.validate(document, "1.34", strict=True)  # pyright: ignore[reportUnknownMemberType]


def test_the_dockerfile_passes_its_linter() -> None:
    """Hadolint also runs ShellCheck over the commands."""
    hadolint = Path(sys.executable).parent / "hadolint"
    linted = subprocess.run([str(hadolint), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_every_variable_is_a_setting() -> None:
    """A variable with a typing error would be ignored, and the server would start without it."""
    files = ["Dockerfile", "compose.yaml", *(str(path.relative_to(ROOT)) for path in (ROOT / "deploy").iterdir())]
    text = "\n".join((ROOT / name).read_text() for name in files)
    named = set(re.findall(r"\b(?:HEADWATER|OPENAI)_[A-Z_]+\b", text))
    fields = Settings.model_fields.items()
    settings = {str(field.validation_alias or f"HEADWATER_{name.upper()}") for name, field in fields}

    assert named - settings == {"HEADWATER_PUBLISH"}  # is for Docker Compose


def test_every_deployment_waits_longer_than_a_drain_takes() -> None:
    """A server that is killed while it drains cuts the answers that it was given time to finish."""
    pause = float(pod()["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    timeout = re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert timeout

    assert in_seconds(COMPOSE["services"]["headwater"]["stop_grace_period"]) > ENDS_WITHIN
    assert float(timeout[1]) > ENDS_WITHIN
    assert pod()["terminationGracePeriodSeconds"] > ENDS_WITHIN + pause
    drains = [
        COMPOSE["services"]["headwater"]["environment"]["HEADWATER_DRAIN"],
        manifest("ConfigMap")["data"]["HEADWATER_DRAIN"],
        *re.findall(r"^Environment=HEADWATER_DRAIN=(\d+)$", UNIT, re.MULTILINE),
    ]
    assert [float(drain) for drain in drains] == [DRAIN] * 3


def test_kubernetes_asks_the_right_routes_and_sets_no_variable_of_its_own() -> None:
    """With service links a Service named headwater would set HEADWATER_PORT to an address."""
    container = pod()["containers"][0]
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}

    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert pod()["enableServiceLinks"] is False
    assert str(container["ports"][0]["containerPort"]) == dockerfile.environment()["HEADWATER_PORT"]
    assert str(pod()["securityContext"]["runAsUser"]) == dockerfile.only("USER").rest.partition(":")[0]
    assert dockerfile.environment()["HEADWATER_DATA_DIR"] in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_the_ingress_does_not_buffer_and_waits_for_whole_answers() -> None:
    """Its limits are those of the server."""
    prefix = "nginx.ingress.kubernetes.io/"
    notes = {name.removeprefix(prefix): value for name, value in manifest("Ingress")["metadata"]["annotations"].items()}

    assert notes["proxy-buffering"] == "off"
    assert float(notes["proxy-read-timeout"]) >= Settings.model_fields["total_timeout"].default
    assert notes["proxy-body-size"] == f"{max(Settings.model_fields['max_body'].default, IMPORT_BYTES) // 2**20}m"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_valid_and_closed(tmp_path: Path) -> None:
    """systemd finds no mistake in it, and rates what the service may still do as little."""
    here = tmp_path / "headwater.service"
    here.write_text(UNIT.replace("/opt/headwater/bin/headwater", shutil.which("true") or "true"))
    for command in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=20"]):
        checked = subprocess.run(
            ["systemd-analyze", *command, str(here)], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "headwater.service:" not in checked.stderr
