"""The kubernetes stand-in's objects against a real API server (kube_api.py)."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from standins.call import Call, Cancelled, InitFailed, StandinError
from standins.kubernetes.cluster import ApiError
from standins.kubernetes.kinds import BY_NAME
from standins.kubernetes.provider import KubernetesProvider
from standins.values import Secret
from tests.engine import kube_api

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def api():
    with kube_api.running() as server:
        yield server


@pytest.fixture
def provider(api):
    provider = KubernetesProvider()
    provider.configure({"kubeconfig": api.kubeconfig})
    return provider


class Resource:
    """One resource through the life that the engine gives it: check, create, update, delete."""

    def __init__(self, provider: KubernetesProvider, kind: str, name: str) -> None:
        self.handler: Any = provider.handler(BY_NAME[kind].token)
        self.urn = f"urn:pulumi:test::tinderbox::{BY_NAME[kind].token}::{name}"
        self.id = ""
        self.inputs: Manifest = {}
        self.outputs: Manifest = {}
        self.messages: list[str] = []

    def call(self, inputs: Manifest | None = None, timeout: float | None = None) -> Call:
        return Call(
            urn=self.urn,
            id=self.id,
            marked_inputs=inputs or {},
            marked_old_inputs=self.inputs,
            marked_state=self.outputs,
            timeout=timeout,
            send_log=lambda _severity, text, _ephemeral: self.messages.append(text),
        )

    def check(self, inputs: Manifest) -> Manifest:
        checked, failures = self.handler.check(self.call(inputs))
        assert failures == []
        return checked

    def create(self, inputs: Manifest, timeout: float | None = None) -> Manifest:
        checked = self.check(inputs)
        try:
            self.id, self.outputs = self.handler.create(self.call(checked, timeout))
        except InitFailed as error:
            self.id, self.outputs, self.inputs = error.resource_id, error.outputs, checked
            raise
        self.inputs = checked
        return self.outputs

    def update(self, inputs: Manifest, timeout: float | None = None) -> Manifest:
        checked = self.check(inputs)
        self.outputs = self.handler.update(self.call(checked, timeout))
        self.inputs = checked
        return self.outputs

    def diff(self, inputs: Manifest):
        return self.handler.diff(self.call(self.check(inputs)))

    def delete(self) -> None:
        self.handler.delete(self.call())

    def live(self) -> Any:
        namespace, _, name = self.id.rpartition("/")
        return self.handler.cluster.find(self.handler.kind.path(namespace or None, name))

    def set_status(self, status: Manifest) -> None:
        """What a controller or kubelet would do: merge `status` into the object's."""
        namespace, _, name = self.id.rpartition("/")
        set_status(self.handler, self.handler.kind.path(namespace or None, name), status)


def set_status(handler, path: str, status: Manifest) -> None:
    content_type = "application/merge-patch+json"
    handler.cluster.request("PATCH", f"{path}/status", None, {"status": status}, content_type)


def in_background(action) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def until(look, seconds: float = 20.0):
    """The first true result of `look`."""
    deadline = time.monotonic() + seconds
    while not (result := look()):
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)
    return result


JOB_SPEC = {
    "backoffLimit": 0,
    "template": {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
    },
}


# -- objects without waiting ---------------------------------------------------------------------


def test_life_of_a_config_map(provider):
    one = Resource(provider, "ConfigMap", "life")
    inputs: Manifest = {"data": {"a": "1", "b": "2"}, "metadata": {"labels": {"x": "y"}}}
    outputs = one.create(inputs)
    assert one.id == f"default/{outputs['metadata']['name']}"
    assert outputs["data"] == {"a": "1", "b": "2"}
    assert "managedFields" not in outputs["metadata"] and outputs["metadata"]["uid"]
    assert not one.diff(inputs).paths
    assert one.diff({**inputs, "data": {"a": "1"}}).replace == {"data.b"}

    # What the inputs no longer say is gone; what others added stays.
    path = one.handler.kind.path("default", outputs["metadata"]["name"])
    others = {"metadata": {"annotations": {"theirs": "kept"}}}
    one.handler.cluster.request("PATCH", path, None, others, "application/merge-patch+json")
    outputs = one.update({"data": {"a": "1"}})
    assert outputs["data"] == {"a": "1"} and "labels" not in outputs["metadata"]
    assert outputs["metadata"]["annotations"]["theirs"] == "kept"

    one.delete()
    assert one.live() is None
    one.delete()  # gone already is no error
    assert one.handler.read(one.call()) is None


def test_refresh_shows_drift_in_what_the_program_sets_only(provider):
    Resource(provider, "Namespace", "drift").create({"metadata": {"name": "drift"}})
    one = Resource(provider, "ResourceQuota", "drift")
    metadata = {"name": "drift", "namespace": "drift"}
    inputs = {"metadata": metadata, "spec": {"hard": {"requests.cpu": "1000m", "pods": "3"}}}
    one.create(inputs)
    found = one.handler.read(one.call())
    assert found.inputs == one.inputs  # the API server writes 1000m as 1: no drift
    path = one.handler.kind.path(*one.id.split("/"))
    more = {"spec": {"hard": {"pods": "9"}}, "metadata": {"labels": {"not": "ours"}}}
    one.handler.cluster.request("PATCH", path, None, more, "application/merge-patch+json")
    found = one.handler.read(one.call())
    assert found.inputs["spec"] == {"hard": {"requests.cpu": "1000m", "pods": "9"}}
    assert "labels" not in found.inputs["metadata"]
    one.inputs, one.outputs = found.inputs, found.outputs
    assert one.diff(inputs).paths
    provider.config["enablePatchForce"] = True
    one.update(inputs)
    assert one.live()["spec"]["hard"]["pods"] == "3"


def test_import_takes_the_live_object_as_inputs(provider):
    one = Resource(provider, "ConfigMap", "imported")
    one.create({"data": {"a": "1"}, "metadata": {"name": "imported"}})
    one.inputs, one.outputs = {}, {}
    found = one.handler.read(one.call())
    assert found.inputs == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "data": {"a": "1"},
        "metadata": {"name": "imported", "namespace": "default"},
    }


def test_an_object_of_somebody_else_is_refused_and_a_killed_runs_is_taken_up(provider):
    inputs = {"metadata": {"name": "taken"}, "data": {"a": "1"}}
    Resource(provider, "ConfigMap", "first").create(inputs)
    with pytest.raises(StandinError, match="ConfigMap default/taken exists already"):
        Resource(provider, "ConfigMap", "second").create(inputs)
    # The same resource again, as after a run that was killed before the state was written.
    again = Resource(provider, "ConfigMap", "first").create({**inputs, "data": {"a": "2"}})
    assert again["data"] == {"a": "2"}


def test_fields_of_others_are_a_conflict_unless_forced(provider):
    one = Resource(provider, "ConfigMap", "conflict")
    one.create({"metadata": {"name": "conflict"}, "data": {"a": "1"}})
    path = one.handler.kind.path("default", "conflict")
    one.handler.cluster.apply(
        path,
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "theirs"}},
        manager="somebody",
        force=True,
    )
    with pytest.raises(ApiError, match="somebody.*pulumi.com/patchForce"):
        one.update({"metadata": {"name": "conflict"}, "data": {"a": "2"}})
    forced = {"name": "conflict", "annotations": {"pulumi.com/patchForce": "true"}}
    assert one.update({"metadata": forced, "data": {"a": "2"}})["data"] == {"a": "2"}


def test_an_unknown_field_is_refused_by_the_api_server(provider):
    one = Resource(provider, "ConfigMap", "typo")
    checked = one.check({"metadata": {"lables": {"a": "b"}}})
    with pytest.raises(ApiError, match="lables"):
        one.handler.preview_create(one.call(checked))


def test_preview_makes_nothing_and_minds_no_missing_namespace(provider):
    one = Resource(provider, "ConfigMap", "preview")
    checked = one.check({"metadata": {"name": "preview", "namespace": "not-there"}})
    assert one.handler.preview_create(one.call(checked)) == checked
    checked = one.check({"metadata": {"name": "preview"}})
    one.handler.preview_create(one.call(checked))
    assert one.handler.cluster.find(one.handler.kind.path("default", "preview")) is None


def test_an_object_waits_some_seconds_for_its_namespace(provider):
    space = Resource(provider, "Namespace", "late")
    thread = in_background(
        lambda: (time.sleep(0.8), space.create({"metadata": {"name": "late-space"}}))
    )
    one = Resource(provider, "ServiceAccount", "early")
    one.create({"metadata": {"name": "early", "namespace": "late-space"}})
    assert one.id == "late-space/early"
    assert any("late-space" in message for message in one.messages)
    thread.join()
    space.delete()
    assert space.live() is None and one.live() is None


def test_the_other_kinds_apply_as_they_are(provider):
    meta = {"labels": {"app": "kinds"}}
    selector = {"matchLabels": {"app": "kinds"}}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]
    api_group = "rbac.authorization.k8s.io"
    for kind, inputs in {
        "Role": {"rules": rules},
        "ClusterRole": {"rules": rules},
        "RoleBinding": {
            "roleRef": {"apiGroup": api_group, "kind": "ClusterRole", "name": "view"},
            "subjects": subjects,
        },
        "ClusterRoleBinding": {
            "roleRef": {"apiGroup": api_group, "kind": "ClusterRole", "name": "view"},
            "subjects": subjects,
        },
        "PodDisruptionBudget": {"spec": {"maxUnavailable": 1, "selector": selector}},
        "NetworkPolicy": {"spec": {"podSelector": selector, "policyTypes": ["Ingress"]}},
        "LimitRange": {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
        "PriorityClass": {"value": 7, "description": "for tests"},
        "Service": {"spec": {"clusterIP": "None", "selector": {"app": "kinds"}}},
    }.items():
        one = Resource(provider, kind, kind.lower())
        one.create({**inputs, "metadata": meta})
        assert not one.diff({**inputs, "metadata": meta}).paths, kind
        one.delete()
        assert one.live() is None, kind


def test_a_secret_is_never_in_an_error(provider):
    one = Resource(provider, "Secret", "hidden")
    one.create({"stringData": {"password": "correct-horse"}})
    assert one.outputs["data"] == {"password": "Y29ycmVjdC1ob3JzZQ=="}
    assert isinstance(one.outputs["__inputs"], Secret)
    checked = one.check({"data": {"password": "not base64, correct-horse"}})
    with pytest.raises(ApiError) as caught:
        one.handler.update(one.call(checked))
    assert "correct-horse" not in str(caught.value)


# -- waiting -------------------------------------------------------------------------------------


def test_a_job_is_waited_for_until_it_completes(provider):
    one = Resource(provider, "Job", "done")
    thread = in_background(lambda: one.create({"spec": JOB_SPEC, "metadata": {"name": "done"}}))
    one_path = one.handler.kind.path("default", "done")
    until(lambda: one.handler.cluster.find(one_path))
    until(lambda: any("0 of 1 done" in message for message in one.messages))
    began = until(lambda: one.handler.cluster.get(one_path)["status"].get("startTime"))
    done = [{"type": kind, "status": "True"} for kind in ("SuccessCriteriaMet", "Complete")]
    status = {"completionTime": began, "succeeded": 1, "active": 0, "ready": 0}
    set_status(one.handler, one_path, {**status, "conditions": done})
    thread.join(10)
    assert one.outputs["status"]["succeeded"] == 1
    one.delete()
    assert one.live() is None


def test_a_failed_job_is_kept_in_the_state_and_replaced_where_that_is_asked_for(provider):
    one = Resource(provider, "Job", "fails")
    inputs = {
        "spec": JOB_SPEC,
        "metadata": {"name": "fails", "annotations": {"pulumi.com/replaceUnready": "true"}},
    }
    errors: list[Exception] = []

    def create() -> None:
        try:
            one.create(inputs)
        except StandinError as error:
            errors.append(error)

    thread = in_background(create)
    pods = "/api/v1/namespaces/default/pods"
    query = {"labelSelector": "batch.kubernetes.io/job-name=fails"}
    pod = until(lambda: (one.handler.cluster.get(pods, query)["items"] or [None])[0])
    ended = {"exitCode": 2, "reason": "Error", "startedAt": None, "finishedAt": None}
    ended["message"] = "app: no such file"  # by the program itself
    container = {"name": "main", "image": "none", "imageID": "", "ready": False, "restartCount": 0}
    container["state"] = {"terminated": {k: v for k, v in ended.items() if v is not None}}
    status = {"phase": "Failed", "containerStatuses": [container]}
    set_status(one.handler, f"{pods}/{pod['metadata']['name']}", status)
    thread.join(20)
    assert isinstance(errors[0], InitFailed)
    assert "the Job failed: BackoffLimitExceeded" in str(errors[0])
    assert "Error: app: no such file (exit code 2)" in str(errors[0])
    assert one.id == "default/fails" and one.outputs["status"]["failed"] == 1

    found = one.diff(inputs)
    assert found.replace and found.delete_before_replace
    with pytest.raises(InitFailed, match="BackoffLimitExceeded"):
        one.update(inputs)
    one.delete()


def test_a_deployment_that_is_not_ready_in_time_is_told_with_its_pods(provider):
    one = Resource(provider, "Deployment", "slow")
    template = {
        "metadata": {"labels": {"app": "slow"}},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }
    inputs: Manifest = {
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "slow"}},
            "template": template,
        },
    }
    began = time.monotonic()
    with pytest.raises(InitFailed, match="not ready after 2 s: Deployment: 0 of 2 Pods"):
        one.create(inputs, timeout=2)
    assert time.monotonic() - began < 5
    skipped = {**inputs, "metadata": {"annotations": {"pulumi.com/skipAwait": "true"}}}
    one.update(skipped)
    late = {**inputs, "metadata": {"annotations": {"pulumi.com/timeoutSeconds": "1"}}}
    with pytest.raises(InitFailed, match="not ready after 1 s"):
        one.update(late)
    wrong = {**inputs, "metadata": {"annotations": {"pulumi.com/timeoutSeconds": "soon"}}}
    with pytest.raises(StandinError, match="'soon' is no number of seconds"):
        one.update(wrong)
    one.delete()


def test_cancelling_ends_the_wait_at_once(provider):
    one = Resource(provider, "Job", "cancelled")
    call = one.call(one.check({"spec": JOB_SPEC}))
    threading.Timer(0.7, call.cancelled.set).start()
    began = time.monotonic()
    with pytest.raises((InitFailed, Cancelled), match="cancelled"):
        one.handler.create(call)
    assert time.monotonic() - began < 3


def test_a_volume_and_its_claim_bind_to_each_other(provider):
    volume = Resource(provider, "PersistentVolume", "shared")
    claim = Resource(provider, "PersistentVolumeClaim", "shared")
    size = {"storage": "1Gi"}
    volume.create(
        {
            "metadata": {"name": "shared"},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "hostPath": {"path": "/srv/shared", "type": "Directory"},
                "claimRef": {"namespace": "default", "name": "shared"},
            },
        }
    )
    assert volume.outputs["status"]["phase"] == "Available"
    claim.create(
        {
            "metadata": {"name": "shared"},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "volumeName": "shared",
                "resources": {"requests": size},
            },
        }
    )
    assert claim.outputs["status"]["phase"] == "Bound"
    claim.delete()
    volume.delete()
    assert claim.live() is None and volume.live() is None


def test_a_service_waits_for_a_ready_pod(provider):
    one = Resource(provider, "Service", "web")
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    thread = in_background(lambda: one.create({"metadata": {"name": "web"}, "spec": spec}))
    until(lambda: any("none of the Pods" in message for message in one.messages))
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": True}}],
    }
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    one.handler.cluster.request("POST", path, None, endpoints)
    thread.join(10)
    assert one.outputs["spec"]["clusterIP"].startswith("10.0.0.")
    one.delete()


# -- a cluster that is away ----------------------------------------------------------------------


def away(**config: Any) -> KubernetesProvider:
    port = kube_api.free_port()
    text = kube_api._kubeconfig(f"https://127.0.0.1:{port}", b"")
    text = text.replace('"certificate-authority-data": ""', '"insecure-skip-tls-verify": true')
    provider = KubernetesProvider()
    provider.configure({"kubeconfig": text, **config})
    return provider


def test_an_unreachable_cluster_is_an_error_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr("standins.kubernetes.cluster.PATIENCE_SECONDS", 0.3)
    one = Resource(away(), "ConfigMap", "lost")
    one.id, one.inputs = "default/lost", one.check({"data": {"a": "1"}})
    for action in (one.delete, lambda: one.handler.read(one.call())):
        with pytest.raises(StandinError, match="(?s)cannot be reached.*PULUMI_K8S_DELETE_UNREACH"):
            action()
    one.handler.preview_create(one.call(one.inputs))  # a preview does without
    one.handler.provider.configure({**one.handler.provider.config, "deleteUnreachable": True})
    one.delete()
    assert one.handler.read(one.call()) is None
    skipping = Resource(away(skipUpdateUnreachable=True), "ConfigMap", "lost")
    skipping.id, skipping.inputs = one.id, one.inputs
    assert skipping.handler.read(skipping.call()).inputs == one.inputs
