"""Pulumi's plugin for Kubernetes, with a kubeconfig that only an update knows."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import warm
from tests.engine import kube_api
from toolchain.env import environment

ROOT = Path(__file__).resolve().parents[2]
STACK = "organization/plugin/test"

PROGRAM = """
import pulumi
import pulumi_command as command
import pulumi_kubernetes as kubernetes

config = pulumi.Config()
read = command.local.Command(
    "kubeconfig",
    create="cat kubeconfig",
    triggers=[config.get("round") or ""],
    logging=command.local.Logging.NONE,
    opts=pulumi.ResourceOptions(additional_secret_outputs=["stdout"]),
)
provider = kubernetes.Provider("cluster", kubeconfig=read.stdout, cluster_identifier="one")
inside = pulumi.ResourceOptions(provider=provider)
space = kubernetes.core.v1.Namespace("space", metadata={"name": "engine"}, opts=inside)
script = kubernetes.core.v1.ConfigMap(
    "script",
    metadata={"namespace": space.metadata.name},
    data={"text": config.get("text") or "one"},
    opts=inside,
)
kubernetes.core.v1.Secret(
    "hidden", metadata={"namespace": space.metadata.name},
    string_data={"password": config.require_secret("password")}, opts=inside,
)
release = kubernetes.helm.v3.Release(
    "tiny", name="tiny", chart="./tiny", namespace=space.metadata.name, atomic=True,
    values={"greeting": config.get("greeting") or "hello"}, opts=inside,
)
kubernetes.helm.v3.Release(
    "random", name="random", chart="./random", namespace=space.metadata.name,
    opts=inside,
)
job = kubernetes.batch.v1.Job(
    "count",
    metadata={
        "namespace": space.metadata.name,
        "annotations": {"pulumi.com/skipAwait": "true"},
    },
    spec=kubernetes.batch.v1.JobSpecArgs(
        backoff_limit=0,
        template=kubernetes.core.v1.PodTemplateSpecArgs(
            spec=kubernetes.core.v1.PodSpecArgs(
                restart_policy="Never",
                containers=[kubernetes.core.v1.ContainerArgs(
                    name="main", image="none",
                    env=[{"name": "SCRIPT", "value": script.metadata.name}],
                )],
            ),
        ),
    ),
    opts=pulumi.ResourceOptions(provider=provider, depends_on=[release]),
)
pulumi.export("job", job.metadata.name)
pulumi.export("revision", release.status.revision)
"""
CHARTS = {
    "random/Chart.yaml": "apiVersion: v2\nname: random\nversion: 0.1.0\n",
    "random/templates/map.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: random}
data: {text: "{{ randAlphaNum 20 }}"}
""",
    "tiny/Chart.yaml": "apiVersion: v2\nname: tiny\nversion: 0.1.0\n",
    "tiny/templates/map.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: tiny}
data: {greeting: "{{ .Values.greeting }}"}
""",
}
PASSWORD = "correct-horse-battery"


class Stack:
    """A stack of PROGRAM, with a backend of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **os.environ,
            **environment(),
            **warm.environment(),
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
        }
        self.pulumi("stack", "init", STACK)
        self.pulumi("config", "set", "--secret", "password", PASSWORD)

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        assert kube_api.TOKEN not in done.stdout + done.stderr
        return done.stdout

    def steps(self) -> dict[str, str]:
        """What an update would do: logical name to operation, without what stays as it is."""
        found = json.loads(self.pulumi("preview", "--json"))["steps"]
        return {
            step["urn"].split("::")[-1]: step["op"]
            for step in found
            if step["op"] not in ("same", "create-replacement", "delete-replaced")
        }

    def resources(self) -> dict[str, dict[str, Any]]:
        (file,) = (self.folder / "state" / ".pulumi" / "stacks").glob("*/test.json")
        latest = json.loads(file.read_text())["checkpoint"]["latest"]
        return {one["urn"].split("::")[-1]: one for one in latest.get("resources") or []}


@pytest.fixture(scope="module")
def stack(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugin")
    for name in ("state", "tiny/templates", "random/templates"):
        (folder / name).mkdir(parents=True)
    for name, text in CHARTS.items():
        (folder / name).write_text(text)
    (folder / "__main__.py").write_text(PROGRAM)
    project = {
        "name": "plugin",
        "runtime": {"name": "python", "options": {"virtualenv": str(ROOT / ".venv")}},
    }
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    (folder / "kubeconfig").write_text(server.kubeconfig)
    made = Stack(folder)
    yield made
    made.pulumi("destroy", "--yes", "--skip-preview")
    assert not made.resources().keys() - {"plugin-test"}


def test_first_preview_knows_no_cluster_and_the_update_makes_all(stack):
    assert set(stack.steps().values()) == {"create"}
    stack.pulumi("up", "--yes", "--skip-preview")
    resources = stack.resources()
    assert resources["tiny"]["id"] == "engine/tiny"
    assert resources["script"]["outputs"]["metadata"]["name"].startswith("script-")
    secret = "4dabf18193072939515e22adb298388d"
    assert secret in resources["hidden"]["outputs"]["data"]
    assert secret in resources["hidden"]["inputs"]["data"]
    assert "stringData" not in resources["hidden"]["inputs"]


def test_nothing_changes_where_nothing_changed_nor_after_a_refresh(stack):
    assert stack.steps() == {}
    stack.pulumi("refresh", "--yes", "--skip-preview")
    assert stack.steps() == {}


def test_a_renewed_kubeconfig_touches_nothing_inside(stack):
    text = (stack.folder / "kubeconfig").read_text()
    (stack.folder / "kubeconfig").write_text(text + "\n")
    stack.pulumi("config", "set", "round", "2")
    before = stack.resources()
    # The engine itself shows all behind a provider that is not known yet as updates.
    assert set(stack.steps().values()) == {"replace", "update"}
    stack.pulumi("up", "--yes", "--skip-preview")
    after = stack.resources()
    for name in ("space", "script", "hidden", "tiny", "count"):
        assert before[name]["modified"] == after[name]["modified"], name
    assert stack.steps() == {}


def test_another_text_makes_the_script_and_the_job_anew_and_only_these(stack):
    before = stack.resources()
    stack.pulumi("config", "set", "text", "two")
    assert stack.steps() == {"script": "replace", "count": "replace"}
    stack.pulumi("up", "--yes", "--skip-preview")
    after = stack.resources()
    assert before["count"]["id"] != after["count"]["id"]
    assert before["tiny"]["modified"] == after["tiny"]["modified"]


def test_other_values_upgrade_the_release_and_only_it(stack):
    stack.pulumi("config", "set", "greeting", "bonjour")
    assert stack.steps() == {"tiny": "update"}
    stack.pulumi("up", "--yes", "--skip-preview")
    assert stack.resources()["tiny"]["outputs"]["status"]["revision"] == 2
