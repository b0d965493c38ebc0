"""The kubernetes stand-in without a cluster: check, diff, configuration, readiness, redaction."""

from __future__ import annotations

import json
from typing import Any

import pytest

from standins.base import Diff
from standins.call import Call, StandinError
from standins.kubernetes import kubeconfig, readiness
from standins.kubernetes.kinds import BY_NAME, KINDS
from standins.kubernetes.objects import drifted
from standins.kubernetes.provider import KubernetesProvider
from standins.kubernetes.redact import redact
from standins.kubernetes.workloads import resource_names
from standins.values import UNKNOWN, Asset, Secret

URN = "urn:pulumi:test::tinderbox::{}::web"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
JOB = "kubernetes:batch/v1:Job"
RELEASE = "kubernetes:helm.sh/v3:Release"


def a_kubeconfig(server: str = "https://10.0.0.1:6443", namespace: str = "") -> str:
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    return json.dumps(
        {
            "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": "hush-hush-token"}}],
            "contexts": [{"name": "x", "context": context}],
        },
        indent=1,
    )


def a_provider(**config: Any) -> KubernetesProvider:
    provider = KubernetesProvider()
    provider.configure({"kubeconfig": a_kubeconfig(), **config})
    return provider


def check(provider: KubernetesProvider, token: str, inputs: dict, old: dict | None = None) -> dict:
    call = Call(urn=URN.format(token), marked_inputs=inputs, marked_old_inputs=old or {})
    checked, failures = provider.handler(token).check(call)
    assert failures == []
    return checked


def diff(provider: KubernetesProvider, token: str, old: dict, new: dict) -> Diff:
    call = Call(urn=URN.format(token), id="default/web", marked_inputs=new, marked_old_inputs=old)
    return provider.handler(token).diff(call)


# -- check ---------------------------------------------------------------------------------------


def test_kinds_of_the_contract_are_known_and_others_refused_by_name():
    tokens = {kind.token for kind in KINDS}
    assert "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding" in tokens
    assert "kubernetes:core/v1:PersistentVolumeClaim" in tokens
    with pytest.raises(StandinError, match="kubernetes:apps/v1:ReplicaSet.*official plugin"):
        a_provider().handler("kubernetes:apps/v1:ReplicaSet")


def test_check_names_an_object_like_the_official_plugin():
    checked = check(a_provider(), CONFIG_MAP, {"data": {"a": "1"}})
    assert checked["apiVersion"] == "v1" and checked["kind"] == "ConfigMap"
    stem, suffix = checked["metadata"]["name"].rsplit("-", 1)
    assert stem == "web" and len(suffix) == 8 and int(suffix, 16) >= 0
    assert checked["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    assert checked["metadata"]["namespace"] == "default"


def test_check_keeps_the_old_automatic_name_but_not_a_name_that_was_given():
    provider = a_provider()
    first = check(provider, CONFIG_MAP, {"data": {}})
    assert check(provider, CONFIG_MAP, {"data": {"b": "2"}}, first)["metadata"] == first["metadata"]
    given = check(provider, CONFIG_MAP, {"metadata": {"name": "mine"}})
    assert given["metadata"] == {"name": "mine", "namespace": "default"}
    assert check(provider, CONFIG_MAP, {}, given)["metadata"]["name"].startswith("web-")


@pytest.mark.parametrize("metadata", [UNKNOWN, {"name": UNKNOWN, "namespace": UNKNOWN}])
def test_check_leaves_unknown_metadata_alone(metadata):
    assert check(a_provider(), CONFIG_MAP, {"metadata": metadata})["metadata"] == metadata


def test_namespace_comes_from_object_then_provider_then_context():
    kubernetes = a_kubeconfig(namespace="from-context")
    own = check(a_provider(), CONFIG_MAP, {"metadata": {"namespace": "own"}})
    provider = check(a_provider(namespace="from-provider", kubeconfig=kubernetes), CONFIG_MAP, {})
    context = check(a_provider(kubeconfig=kubernetes), CONFIG_MAP, {})
    found = [one["metadata"]["namespace"] for one in (own, provider, context)]
    assert found == ["own", "from-provider", "from-context"]
    volume = check(a_provider(), "kubernetes:core/v1:PersistentVolume", {"spec": {}})
    assert "namespace" not in volume["metadata"]


def test_check_refuses_what_it_does_not_do_by_name():
    provider = a_provider()
    call = Call(
        urn=URN.format(CONFIG_MAP),
        marked_inputs={"metadata": {"generateName": "x-"}, "spec": {}, "status": None},
    )
    _, failures = provider.handler(CONFIG_MAP).check(call)
    assert [failure.path for failure in failures] == ["spec", "metadata.generateName"]
    assert "stand-in of pulumi-kubernetes" in failures[0].reason


# -- diff ----------------------------------------------------------------------------------------


def changed(kind: str, path: str, old: Any, new: Any) -> tuple[dict, dict]:
    """Two manifests that differ in the value at the dotted `path`."""
    manifests = []
    for value in (old, new):
        manifest: dict[str, Any] = {"kind": kind, "metadata": {"name": "web", "namespace": "n"}}
        *parents, last = path.split(".")
        inner = manifest
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
        manifests.append(manifest)
    return manifests[0], manifests[1]


@pytest.mark.parametrize(
    ("kind", "path", "old", "new", "replaces"),
    [
        ("Job", "spec.template", {"spec": {"a": 1}}, {"spec": {"a": 2}}, True),
        ("Job", "spec.parallelism", 1, 2, True),
        ("Job", "spec.ttlSecondsAfterFinished", 1, 2, False),
        ("Job", "metadata.labels", {"a": "1"}, {"a": "2"}, False),
        ("ConfigMap", "data", {"a": "1"}, {"a": "2"}, True),
        ("Secret", "stringData", {"a": "1"}, {"a": "2"}, True),
        ("Deployment", "spec.replicas", 1, 2, False),
        ("Deployment", "spec.selector", {"matchLabels": {"a": "1"}}, {"matchLabels": {}}, True),
        ("StatefulSet", "spec.serviceName", "a", "b", True),
        ("StatefulSet", "spec.template", {"a": "1"}, {"a": "2"}, False),
        ("PersistentVolume", "spec.hostPath", {"path": "/a"}, {"path": "/b"}, True),
        ("PersistentVolume", "spec.capacity", {"storage": "1Gi"}, {"storage": "2Gi"}, False),
        ("PersistentVolumeClaim", "spec.volumeName", "a", "b", True),
        ("PersistentVolumeClaim", "spec.resources", {"requests": 1}, {"requests": 2}, False),
        ("RoleBinding", "roleRef", {"name": "a"}, {"name": "b"}, True),
        ("RoleBinding", "subjects", [{"name": "a"}], [{"name": "b"}], False),
        ("Service", "spec.clusterIP", "10.0.0.1", "10.0.0.2", True),
        ("Pod", "spec.containers", [{"image": "a"}], [{"image": "b"}], True),
        ("Pod", "spec.activeDeadlineSeconds", 1, 2, False),
        ("Namespace", "metadata.name", "a", "b", True),
        ("ServiceAccount", "metadata.namespace", "a", "b", True),
    ],
)
def test_what_replaces(kind, path, old, new, replaces):
    before, after = changed(kind, path, old, new)
    found = diff(a_provider(), BY_NAME[kind].token, before, after)
    assert found.paths
    assert bool(found.replace) is replaces
    moved = path in ("metadata.name", "metadata.namespace")
    assert found.delete_before_replace is (replaces and not moved)


def test_content_is_changed_in_place_where_the_provider_says_so():
    provider = a_provider(enableConfigMapMutable=True, enableSecretMutable=True)
    for kind in ("ConfigMap", "Secret"):
        before, after = changed(kind, "data", {"a": "1"}, {"a": "2"})
        assert not diff(provider, BY_NAME[kind].token, before, after).replace
        frozen = {**after, "immutable": True}
        assert diff(provider, BY_NAME[kind].token, before, frozen).replace


def test_an_automatically_named_object_is_replaced_before_the_old_one_goes():
    provider = a_provider()
    before = check(provider, JOB, {"spec": {"template": {"a": 1}}})
    after = check(provider, JOB, {"spec": {"template": {"a": 2}}}, before)
    found = diff(provider, JOB, before, after)
    assert found.replace and not found.delete_before_replace


def test_no_change_is_no_diff_and_unknown_is_a_change():
    provider = a_provider()
    before = check(provider, JOB, {"spec": {"template": {"a": 1}, "suspend": None}})
    same = check(provider, JOB, {"spec": {"template": {"a": 1.0}}}, before)
    assert diff(provider, JOB, before, same) == Diff()
    unknown = {**before, "spec": {"template": {"a": UNKNOWN}}}
    assert diff(provider, JOB, before, unknown).replace == {"spec.template.a"}


# -- the provider --------------------------------------------------------------------------------


def diff_config(old: dict, new: dict) -> Diff:
    return KubernetesProvider().diff_config(Call(marked_inputs=new, marked_old_inputs=old))


def test_another_kubeconfig_is_an_update_while_the_cluster_identifier_stays():
    one, two = a_kubeconfig(), a_kubeconfig("https://10.0.0.2:6443")
    kept = diff_config(
        {"kubeconfig": one, "clusterIdentifier": "i-1"},
        {"kubeconfig": two, "clusterIdentifier": "i-1"},
    )
    assert kept.paths == {"kubeconfig": "update"} and not kept.replace
    unknown = diff_config(
        {"kubeconfig": one, "clusterIdentifier": "i-1"},
        {"kubeconfig": UNKNOWN, "clusterIdentifier": "i-1"},
    )
    assert not unknown.replace


@pytest.mark.parametrize("identifier", ["i-2", UNKNOWN])
def test_another_cluster_identifier_replaces(identifier):
    found = diff_config(
        {"kubeconfig": a_kubeconfig(), "clusterIdentifier": "i-1"},
        {"kubeconfig": a_kubeconfig(), "clusterIdentifier": identifier},
    )
    assert found.replace == {"clusterIdentifier"}


def test_without_identifier_only_another_active_cluster_replaces():
    one = a_kubeconfig()
    other_token = one.replace("hush-hush-token", "another-token")
    assert not diff_config({"kubeconfig": one}, {"kubeconfig": other_token}).replace
    moved = a_kubeconfig("https://10.0.0.2:6443")
    assert diff_config({"kubeconfig": one}, {"kubeconfig": moved}).replace == {"kubeconfig"}
    assert diff_config({"kubeconfig": one}, {"kubeconfig": UNKNOWN}).replace == {"kubeconfig"}
    assert not diff_config({"kubeconfig": one}, {"kubeconfig": one}).paths


def test_a_preview_with_an_unknown_kubeconfig_asks_no_cluster():
    provider = a_provider(kubeconfig=UNKNOWN)
    checked = check(provider, JOB, {"spec": {"template": {}}})
    call = Call(urn=URN.format(JOB), marked_inputs=checked, preview=True)
    outputs = provider.handler(JOB).preview_create(call)
    assert outputs["status"] is UNKNOWN and outputs["spec"] == {"template": {}}


def test_unknown_configuration_is_refused_by_name():
    call = Call(marked_inputs={"renderYamlToDirectory": "x", "enableServerSideApply": "false"})
    _, failures = KubernetesProvider().check_config(call)
    assert [failure.path for failure in failures] == [
        "renderYamlToDirectory",
        "enableServerSideApply",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [\nb: hush-hush", "no YAML"),
        ("a: 1\nb: 2", "no clusters"),
        ("/nowhere/kubeconfig", "/nowhere/kubeconfig: No such file"),
        (a_kubeconfig().replace('text": "x"', 'text": "y"'), "no context 'y'"),
    ],
)
def test_a_wrong_kubeconfig_is_told_without_its_content(text, message):
    with pytest.raises(StandinError, match=message) as caught:
        kubeconfig.load(text)
    assert "hush" not in str(caught.value)


def test_a_kubeconfig_may_be_a_path(tmp_path):
    file = tmp_path / "config"
    file.write_text(a_kubeconfig(namespace="n"))
    loaded = kubeconfig.load(str(file))
    assert (loaded.namespace, loaded.path) == ("n", file)


# -- readiness -----------------------------------------------------------------------------------


def live(kind: str, status: dict, spec: dict | None = None, generation: int = 1) -> dict:
    metadata = {"name": "web", "namespace": "n", "uid": "u", "generation": generation}
    return {"kind": kind, "metadata": metadata, "spec": spec or {}, "status": status}


def conditions(**states: str) -> list[dict]:
    return [{"type": name, "status": state, "reason": "Why"} for name, state in states.items()]


@pytest.mark.parametrize(
    ("kind", "status", "spec", "expected"),
    [
        ("Job", {"conditions": conditions(Complete="True")}, {}, "ready"),
        ("Job", {"conditions": conditions(Failed="True")}, {}, "failed"),
        ("Job", {"active": 1}, {}, "0 of 1 done, 1 active"),
        ("Deployment", {}, {"replicas": 2}, "has not seen it"),
        (
            "Deployment",
            {"observedGeneration": 1, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 1},
            {"replicas": 2},
            "1 of 2 Pods available",
        ),
        (
            "Deployment",
            {"observedGeneration": 1, "updatedReplicas": 2, "replicas": 3, "availableReplicas": 3},
            {"replicas": 2},
            "1 old Pods",
        ),
        (
            "Deployment",
            {"observedGeneration": 1, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2},
            {"replicas": 2},
            "ready",
        ),
        ("StatefulSet", {"observedGeneration": 1, "readyReplicas": 1}, {"replicas": 2}, "1 of 2"),
        ("StatefulSet", {"observedGeneration": 1}, {"replicas": 0}, "ready"),
        (
            "DaemonSet",
            {"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 2},
            {},
            "2 of 3",
        ),
        ("Pod", {"phase": "Running", "conditions": conditions(Ready="True")}, {}, "ready"),
        ("Pod", {"phase": "Succeeded"}, {}, "ready"),
        ("Pod", {"phase": "Failed"}, {}, "failed"),
        ("PersistentVolume", {"phase": "Available"}, {}, "ready"),
        ("PersistentVolumeClaim", {"phase": "Pending"}, {}, "no volume bound"),
        ("Service", {}, {"type": "ExternalName"}, "ready"),
        ("Service", {}, {"clusterIP": "None", "selector": {"a": "b"}}, "ready"),
        ("Service", {}, {"selector": {"a": "b"}}, "none of the Pods"),
        ("Service", {}, {"type": "LoadBalancer"}, "load balancer"),
        ("ResourceQuota", {"hard": {"pods": "1"}}, {"hard": {"pods": "2"}}, "not taken"),
        ("Namespace", {"phase": "Terminating"}, {}, "Terminating"),
    ],
)
def test_readiness(kind, status, spec, expected):
    verdict = readiness.RULES[kind][0](live(kind, status, spec), {})
    if expected == "ready":
        assert verdict.ready
    elif expected == "failed":
        assert verdict.failed
    else:
        assert not verdict.ready and not verdict.failed and expected in verdict.message


def test_a_claim_that_binds_at_first_use_is_ready():
    storage_class = {"metadata": {"name": "late"}, "volumeBindingMode": "WaitForFirstConsumer"}
    claim = live("PersistentVolumeClaim", {"phase": "Pending"}, {"storageClassName": "late"})
    assert readiness.claim(claim, {"classes": [storage_class]}).ready


def test_a_service_is_ready_with_its_first_ready_endpoint():
    endpoints = {"endpoints": [{"conditions": {"ready": False}}, {"conditions": {"ready": True}}]}
    service = live("Service", {}, {"selector": {"a": "b"}})
    assert readiness.service(service, {"endpoints": [endpoints]}).ready


def test_what_keeps_a_pod_from_running_is_told():
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    pod = live(
        "Pod",
        {
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
            "containerStatuses": [
                {"name": "app", "state": {"waiting": waiting}},
                {"name": "side", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}},
            ],
        },
    )
    assert readiness.pod_problems([pod]) == [
        "Pod web: Unschedulable",
        "Pod web, container app: ImagePullBackOff: no such image",
        "Pod web, container side: Error (exit code 3)",
    ]


# -- odds and ends -------------------------------------------------------------------------------


def test_drift_shows_live_changes_but_not_another_way_to_write_a_value():
    inputs = {"spec": {"cpu": "1000m", "replicas": 2, "list": [{"a": 1}]}, "gone": {"b": "1"}}
    before = {"spec": {"cpu": "1", "replicas": 2, "list": [{"a": 1, "d": 0}]}, "gone": {"b": "1"}}
    now = {"spec": {"cpu": "1", "replicas": 5, "list": [{"a": 7, "d": 0}]}, "gone": {}}
    assert drifted(inputs, before, now) == {
        "spec": {"cpu": "1000m", "replicas": 5, "list": [{"a": 7}]},
        "gone": {},
    }


def test_redaction_hides_each_line_of_a_secret_and_leaves_short_words():
    marked = {"a": Secret("line one\nline two"), "b": [Secret({"c": "deep-secret"})], "d": "open"}
    text = redact("line two; deep-secret; open; line one\nline two", marked)
    assert text == "[secret]; [secret]; open; [secret]"
    assert redact("yes", {"a": Secret("yes")}) == "yes"


def test_resource_names_of_a_manifest():
    manifest = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: b, namespace: n}
---
# nothing here
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
---
apiVersion: v1
kind: Service
metadata: {name: s}
"""
    assert resource_names(manifest) == {
        "Deployment.apps/apps/v1": ["a", "n/b"],
        "Service/v1": ["s"],
    }


def test_a_release_with_unknown_values_is_checked_without_helm(monkeypatch):
    monkeypatch.setenv("PATH", "")
    checked = check(a_provider(), RELEASE, {"chart": "x", "values": {"a": UNKNOWN}})
    assert checked["resourceNames"] is UNKNOWN and checked["timeout"] == 300
    assert checked["name"].startswith("web-") and checked["namespace"] == "default"


def test_a_release_refuses_passwords_and_tells_a_missing_helm(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("TINDERBOX_HELM", raising=False)
    handler = a_provider().handler(RELEASE)
    inputs: dict[str, Any] = {"chart": "x", "repositoryOpts": {"repo": "r", "password": "p"}}
    _, failures = handler.check(Call(urn=URN.format(RELEASE), marked_inputs=inputs))
    assert [failure.path for failure in failures] == ["repositoryOpts.password"]
    inputs = {"chart": "x", "valueYamlFiles": [Asset(text="a: 1")]}
    _, failures = handler.check(Call(urn=URN.format(RELEASE), marked_inputs=inputs))
    assert "make tools" in failures[0].reason
