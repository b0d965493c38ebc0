"""Namespaces with a quota, by the real engine in a real API server."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from components.engine.leftovers import free_volume
from submission.application import Application, SparkPodSpec
from submission.manifests import manifests
from submission.place import Place
from submission.resolve import resolve
from tests.engine import kube_api
from tests.engine.conftest import Engine

QUOTA = {"requests.cpu": "1", "requests.memory": "3000Mi", "pods": "4"}


@pytest.fixture(scope="module")
def core(
    server: kube_api.KubeApi, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Any]]:
    """The stack with one namespace, and a client of its cluster."""
    main = Path(__file__).parent / "namespaces_part.py"
    engine = Engine(tmp_path_factory.mktemp("namespaces"), "http://127.0.0.1:9", main)
    engine.config |= {
        "cluster": {"kubeconfig": server.kubeconfig},
        "namespaces": {"team": {"cpu": 1, "memoryMiB": 3000, "pods": 4}},
    }
    engine.configure()
    engine.pulumi("up", "--yes", "--skip-preview")
    connection = config.new_client_from_config_dict(yaml.safe_load(server.kubeconfig))
    yield engine, client.CoreV1Api(connection)
    engine.pulumi("destroy", "--yes", "--skip-preview")


def place(engine: Engine) -> Place:
    """What the stack says of its namespace."""
    return Place(**engine.outputs()["namespaces"]["team"])


def test_all_that_a_place_names_is_there(core: tuple[Engine, Any]) -> None:
    engine, api = core
    team = place(engine)
    assert team.quota == QUOTA
    assert api.read_namespaced_resource_quota("applications", "team").status.hard == QUOTA
    assert api.read_namespaced_persistent_volume_claim(team.claim, "team").status.phase == "Bound"
    assert api.read_namespaced_secret(team.auth_secret, "team").data["secret"]
    assert api.read_namespaced_service_account(team.service_account, "team")
    for name in (team.native_config, team.usage_config):
        assert api.read_namespaced_config_map(name, "team").data
    pods = api.list_namespaced_pod("team").items
    assert pods == []  # neither master nor workers


def test_a_second_look_is_quiet(core: tuple[Engine, Any]) -> None:
    assert {step["op"] for step in core[0].preview()} <= {"same"}


def test_another_context_is_noticed_and_another_entry_is_none(core: tuple[Engine, Any]) -> None:
    """Also by a stack of before, which has an identifier made of all entries."""
    engine, _ = core
    state = json.loads(engine.pulumi("stack", "export", "--show-secrets").stdout)
    for resource in state["deployment"]["resources"]:
        if resource["type"] == "pulumi:providers:kubernetes":
            for properties in (resource["inputs"], resource["outputs"]):
                properties["clusterIdentifier"] = "0123456789abcdef"
    file = engine.program / "before.json"
    file.write_text(json.dumps(state))
    engine.pulumi("stack", "import", "--file", str(file))
    steps = {step["op"] for step in engine.preview()}
    assert steps == {"same", "update"}  # of the provider alone, which touches nothing
    kubeconfig = json.loads(engine.config["cluster"]["kubeconfig"])
    other = {"name": "other", "cluster": {"server": "https://127.0.0.1:9"}}
    context = {"name": "other", "context": {"cluster": "other", "user": "test-admin"}}
    kubeconfig["clusters"].insert(0, other)
    kubeconfig["contexts"].insert(0, context)
    engine.pulumi("up", "--yes", "--skip-preview")
    engine.configure(cluster={"kubeconfig": json.dumps(kubeconfig)})
    assert {step["op"] for step in engine.preview()} <= {"same"}
    kubeconfig["current-context"] = "other"
    engine.configure(cluster={"kubeconfig": json.dumps(kubeconfig)})
    assert "replace" in {step["op"] for step in engine.preview()}
    engine.configure()


def test_an_applications_pod_is_taken_and_counted(core: tuple[Engine, Any]) -> None:
    """Also by the rules for its security; its receiver and others without requests get theirs."""
    engine, api = core
    app = Application(
        name="pi",
        app="local:///opt/spark/examples/src/main/python/pi.py",
        master="kubernetes",
        driver=SparkPodSpec(cpu_request="100m", priority_class="batch"),
        init_containers=({"name": "unsaid", "image": "example.com/none:1"},),
    )
    template = manifests(resolve(app, place(engine))).job["spec"]["template"]
    template["metadata"]["name"] = "pi"
    made = api.create_namespaced_pod("team", template)
    assert made.spec.priority < 0
    assert made.spec.init_containers[0].resources.requests == {"cpu": "100m", "memory": "256Mi"}
    requests = {"requests": {"cpu": "950m", "memory": "1Mi"}}
    container = {"name": "large", "image": "example.com/none:1", "resources": requests}
    large = {"metadata": {"name": "large"}, "spec": {"containers": [container]}}
    with pytest.raises(client.ApiException, match="exceeded quota: applications") as refused:
        api.create_namespaced_pod("team", large)
    assert refused.value.status == 403
    api.delete_namespaced_pod("pi", "team", grace_period_seconds=0)


def leave_pending(api: Any, name: str, status: str) -> None:
    """What a killed update leaves of a helm release: one more revision, in that status."""
    (last,) = api.list_namespaced_secret(
        name, label_selector=f"owner=helm,name={name},status=deployed"
    ).items
    packed = base64.b64decode(base64.b64decode(last.data["release"]))
    release = json.loads(gzip.decompress(packed))
    release["version"] += 1
    release["info"]["status"] = status
    packed = base64.b64encode(gzip.compress(json.dumps(release).encode()))
    version = str(release["version"])
    api.create_namespaced_secret(
        name,
        {
            "metadata": {
                "name": f"sh.helm.release.v1.{name}.v{version}",
                "labels": {**last.metadata.labels, "status": status, "version": version},
            },
            "type": last.type,
            "data": {"release": base64.b64encode(packed).decode()},
        },
    )


def revisions(api: Any, name: str) -> dict[str, str]:
    """The revisions of a release, and their status."""
    found = api.list_namespaced_secret(name, label_selector=f"owner=helm,name={name}").items
    said = {int(item.metadata.labels["version"]): item.metadata.labels["status"] for item in found}
    return {str(version): said[version] for version in sorted(said)}


@pytest.mark.parametrize("status", ["pending-upgrade", "pending-rollback"])
def test_a_release_that_a_killed_update_left_half_done_is_upgraded(
    core: tuple[Engine, Any], status: str
) -> None:
    engine, api = core
    before = revisions(api, "team")
    leave_pending(api, "team", status)
    engine.configure(nodes={"price": len(before) / 10})
    done = engine.pulumi("up", "--yes", "--skip-preview")
    left = f"release team/team: an update was killed in revision {len(before) + 1} ({status})"
    assert left in done.stdout
    after = revisions(api, "team")
    assert after == {**dict.fromkeys(before, "superseded"), str(len(before) + 1): "deployed"}


def test_a_release_whose_first_installation_was_killed_is_installed(
    core: tuple[Engine, Any],
) -> None:
    """The state knows nothing of it, and what it had made by then is there."""
    engine, api = core
    leave_pending(api, "team", "pending-install")
    *before, last = revisions(api, "team")
    for version in before:
        api.delete_namespaced_secret(f"sh.helm.release.v1.team.v{version}", "team")
    (urn,) = [r["urn"] for r in engine.state() if r["type"] == "kubernetes:helm.sh/v3:Release"]
    engine.pulumi("state", "delete", urn, "--yes")
    done = engine.pulumi("up", "--yes", "--skip-preview")
    assert f"an update was killed in revision {last} (pending-install)" in done.stdout
    assert revisions(api, "team") == {"1": "deployed"}
    assert {step["op"] for step in engine.preview()} <= {"same"}


def test_a_claim_that_was_deleted_gets_its_volume_back(core: tuple[Engine, Any]) -> None:
    engine, api = core
    claim = place(engine).claim
    old = api.read_namespaced_persistent_volume_claim(claim, "team").metadata.uid
    api.delete_namespaced_persistent_volume_claim(claim, "team")
    end = time.monotonic() + 60
    while api.read_persistent_volume(claim).status.phase != "Released":
        assert time.monotonic() < end
        time.sleep(0.2)
    done = engine.pulumi("up", "--refresh", "--yes", "--skip-preview")
    assert f"volume {claim} was bound to a claim that is gone" in done.stdout
    new = api.read_namespaced_persistent_volume_claim(claim, "team")
    assert (new.status.phase, new.metadata.uid != old) == ("Bound", True)
    assert {step["op"] for step in engine.preview()} <= {"same"}


def test_a_volume_of_another_claim_is_left_alone(core: tuple[Engine, Any]) -> None:
    _, api = core
    volume = api.read_persistent_volume("team-shared")
    inputs = {"metadata": {"name": "team-shared", "namespace": "team"}}
    inputs["spec"] = {"volumeName": "team-shared"}
    assert free_volume(api, inputs) is None  # its claim is there
    inputs["metadata"]["name"] = "another"
    assert free_volume(api, inputs) is None
    assert free_volume(api, {**inputs, "spec": {"volumeName": "none"}}) is None
    assert api.read_persistent_volume("team-shared").spec == volume.spec
