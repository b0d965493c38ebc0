"""Namespaces with a quota, by the real engine in a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from submission.application import Application, Role
from submission.manifests import manifests
from submission.place import Place
from submission.resolve import resolve
from tests.engine import kube_api
from tests.engine.conftest import Engine

QUOTA = {"requests.cpu": "1", "requests.memory": "3000Mi", "pods": "4"}


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Any]]:
    """The stack with one namespace, and a client of its cluster."""
    main = Path(__file__).parent / "namespaces_part.py"
    engine = Engine(tmp_path_factory.mktemp("namespaces"), "http://127.0.0.1:9", main)
    with kube_api.running() as server:
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
    found = json.loads(engine.pulumi("stack", "output", "--json").stdout)
    return Place(**found["namespaces"]["team"])


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
        driver=Role(cpu_request="100m", priority_class="batch"),
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
