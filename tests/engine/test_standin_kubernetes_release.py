"""The kubernetes stand-in's Helm releases against a real API server, with a tiny chart."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from standins.call import Call, InitFailed, StandinError
from standins.kubernetes.provider import KubernetesProvider
from standins.values import UNKNOWN, Asset, Secret
from tests.engine import kube_api
from toolchain.builds import binary

TOKEN = "kubernetes:helm.sh/v3:Release"
SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def api():
    with kube_api.running() as server:
        yield server


@pytest.fixture
def provider(api, monkeypatch):
    monkeypatch.setenv("TINDERBOX_HELM", str(binary("helm")))
    provider = KubernetesProvider()
    provider.configure({"kubeconfig": api.kubeconfig})
    return provider


@pytest.fixture
def chart(tmp_path) -> Path:
    """A chart of one ConfigMap; `.Values.broken` adds a Pod that never gets ready."""
    files = {
        "Chart.yaml": "apiVersion: v2\nname: tiny\nversion: 0.1.0\nappVersion: '7'\n",
        "values.yaml": "greeting: hello\nnested: {a: 1, b: 2}\nbroken: false\n",
        "README.md": "tiny",
        "templates/map.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-map"}
data:
  greeting: {{ .Values.greeting | quote }}
  nested: {{ .Values.nested | toJson | quote }}
""",
        "templates/pod.yaml": """
{{- if .Values.broken }}
apiVersion: v1
kind: Pod
metadata: {name: "{{ .Release.Name }}-pod"}
spec: {containers: [{name: main, image: none}]}
{{- end }}
""",
    }
    folder = tmp_path / "tiny"
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


class Release:
    """One Release through the life that the engine gives it."""

    def __init__(self, provider: KubernetesProvider, name: str) -> None:
        self.handler: Any = provider.handler(TOKEN)
        self.urn = f"urn:pulumi:test::tinderbox::{TOKEN}::{name}"
        self.id = ""
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.messages: list[str] = []

    def call(self, inputs: dict[str, Any] | None = None) -> Call:
        return Call(
            urn=self.urn,
            id=self.id,
            marked_inputs=inputs or {},
            marked_old_inputs=self.inputs,
            marked_state=self.outputs,
            send_log=lambda _severity, text, _ephemeral: self.messages.append(text),
        )

    def check(self, inputs: dict[str, Any]) -> dict[str, Any]:
        checked, failures = self.handler.check(self.call(inputs))
        assert failures == []
        return checked

    def create(self, inputs: dict[str, Any]) -> dict[str, Any]:
        checked = self.check(inputs)
        try:
            self.id, self.outputs = self.handler.create(self.call(checked))
        except InitFailed as error:
            self.id, self.outputs, self.inputs = error.resource_id, error.outputs, checked
            raise
        self.inputs = checked
        return self.outputs

    def update(self, inputs: dict[str, Any]) -> dict[str, Any]:
        checked = self.check(inputs)
        self.outputs = self.handler.update(self.call(checked))
        self.inputs = checked
        return self.outputs

    def diff(self, inputs: dict[str, Any]):
        return self.handler.diff(self.call(self.check(inputs)))

    def read(self):
        return self.handler.read(self.call())

    def delete(self) -> None:
        self.handler.delete(self.call())

    def config_map(self) -> Any:
        namespace, name = self.id.split("/")
        path = f"/api/v1/namespaces/{namespace}/configmaps/{name}-map"
        return self.handler.provider.cluster.find(path)

    def revisions(self, namespace: str, name: str) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{namespace}/secrets"
        query = {"labelSelector": f"owner=helm,name={name}"}
        return self.handler.provider.cluster.get(path, query)["items"]


def test_life_of_a_release(provider, chart):
    one = Release(provider, "life")
    inputs: dict[str, Any] = {
        "chart": str(chart),
        "namespace": "own-space",
        "createNamespace": True,
        "atomic": True,
        "compat": "true",
        "values": {"nested": {"a": 5}},
    }
    outputs = one.create(inputs)
    name = outputs["name"]
    assert name.startswith("life-") and one.id == f"own-space/{name}"
    assert outputs["status"] == {
        "name": name,
        "namespace": "own-space",
        "revision": 1,
        "status": "deployed",
        "chart": "tiny",
        "version": "0.1.0",
        "appVersion": "7",
    }
    assert outputs["resourceNames"] == {"ConfigMap/v1": [f"{name}-map"]}
    assert json.loads(one.config_map()["data"]["nested"]) == {"a": 5, "b": 2}
    assert not one.diff(inputs).paths

    # As the official plugin, it does not look into the chart: who changes it says so.
    template = chart / "templates" / "map.yaml"
    template.write_text(template.read_text() + "  more: data\n")
    assert not one.diff(inputs).paths
    inputs["description"] = "with more"
    assert set(one.diff(inputs).paths) == {"description"}

    # Values that are no longer said fall back to the chart's own.
    inputs["values"] = {}
    outputs = one.update(inputs)
    assert outputs["status"]["revision"] == 2
    data = one.config_map()["data"]
    assert data["more"] == "data" and json.loads(data["nested"])["a"] == 1

    moved = one.diff({**inputs, "namespace": "elsewhere"})
    assert moved.replace == {"namespace"}

    found = one.read()
    assert found.inputs == one.inputs and found.outputs["status"]["status"] == "deployed"
    one.delete()
    assert one.config_map() is None and one.read() is None
    one.delete()


def test_drift_in_values_shows(provider, chart):
    one = Release(provider, "drift")
    inputs = {"chart": str(chart), "values": {"greeting": "ours"}}
    one.create(inputs)
    namespace, name = one.id.split("/")
    arguments = ["upgrade", name, str(chart), "--namespace", namespace]
    one.handler.helm.run(one.call(), arguments, {"greeting": "theirs"})
    found = one.read()
    assert found.inputs["values"] == {"greeting": "theirs"}
    one.inputs, one.outputs = found.inputs, found.outputs
    assert "values.greeting" in one.diff(inputs).paths
    one.delete()


def test_values_come_from_files_and_nulls_are_left_out(provider, chart, tmp_path):
    file = tmp_path / "more.yaml"
    file.write_text("greeting: from a file\nnested: {a: 8, b: 9}\n")
    one = Release(provider, "files")
    files = [Asset(path=str(file)), Asset(text="nested: {b: 10}")]
    values = {"nested": {"a": 11}, "greeting": None}
    one.create({"chart": str(chart), "valueYamlFiles": files, "values": values})
    assert one.inputs["values"] == {"greeting": "from a file", "nested": {"a": 11, "b": 10}}
    assert one.config_map()["data"]["greeting"] == "from a file"
    one.delete()


def test_secret_values_stay_out_of_errors_and_command_lines(provider, chart, monkeypatch):
    commands: list[list[str]] = []
    from standins.kubernetes import helm

    real = helm._started

    def watching(command, environment):
        commands.append(command)
        kubeconfig = environment.get("KUBECONFIG")
        if kubeconfig:
            assert Path(kubeconfig).stat().st_mode & 0o777 == 0o600
        return real(command, environment)

    monkeypatch.setattr(helm, "_started", watching)
    one = Release(provider, "hidden")
    inputs = {"chart": str(chart), "values": {"greeting": Secret(SECRET)}}
    one.create(inputs)
    assert SECRET not in json.dumps(commands) and kube_api.TOKEN not in json.dumps(commands)
    assert isinstance(one.outputs["__inputs"], Secret)
    (chart / "templates" / "fail.yaml").write_text('{{ fail (print "no " .Values.greeting) }}')
    _, failures = one.handler.check(one.call(inputs))
    assert "no [secret]" in failures[0].reason and SECRET not in failures[0].reason
    one.delete()
    folders = {
        Path(word).parent for command in commands for word in command if "/standin-helm-" in word
    }
    assert folders and not any(folder.exists() for folder in folders)


def test_a_preview_needs_no_cluster(chart, monkeypatch):
    monkeypatch.setenv("TINDERBOX_HELM", str(binary("helm")))
    provider = KubernetesProvider()
    provider.configure({"kubeconfig": UNKNOWN})
    one = Release(provider, "preview")
    checked = one.check({"chart": str(chart), "namespace": "n"})
    assert checked["resourceNames"] == {"ConfigMap/v1": [f"{checked['name']}-map"]}
    status = one.handler.preview_create(one.call(checked))["status"]
    assert status["name"] == checked["name"] and status["revision"] is UNKNOWN


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"chart": "./nowhere"}, "nowhere"),
        ({"chart": "x", "repositoryOpts": {"repo": "http://127.0.0.1:1/"}}, "127.0.0.1:1"),
    ],
)
def test_a_chart_that_is_not_there_is_told_at_once(provider, inputs, message):
    one = Release(provider, "absent")
    _, failures = one.handler.check(one.call(inputs))
    assert failures[0].path == "chart" and message in failures[0].reason


def test_an_atomic_release_that_fails_leaves_nothing(provider, chart):
    one = Release(provider, "atomic")
    inputs = {"chart": str(chart), "atomic": True, "timeout": 4, "values": {"broken": True}}
    with pytest.raises(StandinError, match="(?s)deadline exceeded.*last seen: .*-pod") as caught:
        one.create(inputs)
    assert not isinstance(caught.value, InitFailed)
    assert any(message.startswith("Waiting: ") for message in one.messages)
    config_maps = one.handler.provider.cluster.get("/api/v1/namespaces/default/configmaps")
    names = [item["metadata"]["name"] for item in config_maps["items"]]
    assert not [name for name in names if name.startswith("atomic-")]


def test_a_release_that_fails_is_kept_and_put_right_by_the_next_update(provider, chart):
    one = Release(provider, "fails")
    inputs = {"chart": str(chart), "name": "fails", "timeout": 2, "values": {"broken": True}}
    with pytest.raises(InitFailed, match="deadline exceeded"):
        one.create(inputs)
    assert one.id == "default/fails" and one.outputs["status"]["status"] == "failed"
    outputs = one.update({**inputs, "timeout": 60, "values": {}})
    assert outputs["status"]["status"] == "deployed"
    one.delete()


def test_a_failed_upgrade_is_kept_and_an_atomic_one_rolled_back(provider, chart):
    one = Release(provider, "upgrade")
    good = {"chart": str(chart), "name": "upgrade", "timeout": 60}
    bad = {**good, "timeout": 2, "values": {"broken": True, "greeting": "bad"}}
    one.create(good)
    with pytest.raises(InitFailed, match="deadline exceeded"):
        one.update({**bad, "values": {"broken": True}})
    with pytest.raises(InitFailed, match="deadline exceeded"):
        one.update({**bad, "atomic": True})
    assert one.config_map()["data"]["greeting"] == "hello"
    one.delete()


def test_what_a_killed_run_left_is_taken_up_but_not_what_is_somebody_elses(provider, chart):
    inputs = {"chart": str(chart), "name": "left", "namespace": "default"}
    first = Release(provider, "left")
    first.create(inputs)
    with pytest.raises(StandinError, match="default/left was not installed by this stack"):
        Release(provider, "other").create(inputs)
    again = Release(provider, "left")
    assert again.create({**inputs, "values": {"greeting": "again"}})["status"]["revision"] == 2
    again.delete()


def test_cancelling_ends_helm_and_keeps_what_is_there(provider, chart):
    one = Release(provider, "cancelled")
    inputs = {"chart": str(chart), "name": "cancelled", "values": {"broken": True}}
    call = one.call(one.check(inputs))
    threading.Timer(2.0, call.cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(InitFailed, match="cancelled before it was done"):
        one.handler.create(call)
    assert time.monotonic() - began < 12
    one.inputs = call.inputs
    one.delete()


def test_a_chart_from_a_repository(provider, chart, tmp_path):
    import functools
    import http.server
    import subprocess

    helm = str(binary("helm"))
    repository = tmp_path / "repository"
    subprocess.run([helm, "package", chart, "-d", repository], check=True, capture_output=True)
    subprocess.run([helm, "repo", "index", repository], check=True, capture_output=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(repository))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        one = Release(provider, "repository")
        options = {"repo": url}
        one.create({"chart": "tiny", "version": "0.1.0", "repositoryOpts": options})
        assert one.outputs["status"]["chart"] == "tiny"
        one.delete()
        by_url = Release(provider, "by-url")
        by_url.create({"chart": f"{url}/tiny-0.1.0.tgz"})
        by_url.delete()
        server.shutdown()
