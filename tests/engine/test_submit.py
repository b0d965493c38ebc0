"""`make submit` against a real API server; nothing runs pods there: the test says how they end.

And Spark's service account: what the Role of components/spark/access.py lets it do, and what not.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import why
import yaml
from kubernetes import client, config

from components.spark.access import RULES
from console import failures
from console.__main__ import main
from console.cluster import Cluster
from console.stack import ROOT, ConsoleError
from console.verbs import submit
from submission.application import Application
from submission.facts import facts
from submission.manifests import manifests
from submission.resolve import resolve
from tests import place
from tests.engine import kube_api

PLACE = dataclasses.replace(place.PLACE, image="example.com/spark:1", service_account="spark")
NAMESPACE = PLACE.namespace
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:spark"


@pytest.fixture(scope="module")
def api(server: kube_api.KubeApi) -> client.ApiClient:
    """A client of the API server, with the namespace, the account and its Role."""
    made = config.new_client_from_config_dict(yaml.safe_load(server.kubeconfig))
    core: Any = client.CoreV1Api(made)
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    metadata = {"name": "spark", "namespace": NAMESPACE}
    core.create_namespaced_service_account(NAMESPACE, {"metadata": metadata})
    rbac: Any = client.RbacAuthorizationV1Api(made)
    rules = [
        {"apiGroups": [group], "resources": [*resources], "verbs": [*verbs]}
        for group, resources, verbs in RULES
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "spark"}
    subjects = [{"kind": "ServiceAccount", **metadata}]
    rbac.create_namespaced_role(NAMESPACE, {"metadata": metadata, "rules": rules})
    rbac.create_namespaced_role_binding(
        NAMESPACE, {"metadata": metadata, "roleRef": role, "subjects": subjects}
    )
    # A pod needs its account; the controllers make the other one a moment later.
    within(30, lambda: "default" in account_names(core))
    return made


def test_lists_are_told_as_the_api_server_has_them_for_people(api, server):
    """With the console's own client: columns of the server, and what is refused in its words."""
    cluster = Cluster(server.kubeconfig)
    columns, rows = cluster.table(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts")
    assert columns[:2] == ["Namespace", "Name"]
    assert [NAMESPACE, "spark"] in [row[:2] for row in rows]
    assert cluster.get("/readyz") == "ok"
    with pytest.raises(ConsoleError, match='^pods "nope" not found$'):
        cluster.json(f"/api/v1/namespaces/{NAMESPACE}/pods/nope")


def account_names(core: Any) -> set[str]:
    """The service accounts of the namespace."""
    return {item.metadata.name for item in core.list_namespaced_service_account(NAMESPACE).items}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program."""
    file = tmp_path / "My_job.py"
    file.write_text("print(1)\n")
    return file


def core_of(api: client.ApiClient) -> Any:
    """The core API; the client's own types have None for whatever is not required."""
    return client.CoreV1Api(api)


def jobs_of(api: client.ApiClient) -> Any:
    """The API of Jobs."""
    return client.BatchV1Api(api)


def pods(api: client.ApiClient) -> list[Any]:
    """All of the namespace."""
    return core_of(api).list_namespaced_pod(NAMESPACE).items


def within(seconds: float, found: Callable[[], Any]) -> Any:
    """What `found` gives, as soon as that is something."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return value


def ends(api: client.ApiClient, code: int, why: str = "", **more: Any) -> str:
    """The kubelet's part: the pod's driver has ended with that code. The name of the pod.

    more: of its status.
    """
    (pod,) = within(60, lambda: [p for p in pods(api) if p.status.phase == "Pending"])
    terminated = {"exitCode": code, "reason": "Error" if code else "Completed", "message": why}
    container = {
        "name": "driver",
        "image": "x",
        "imageID": "x",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": terminated},
    }
    phase = "Failed" if code else "Succeeded"
    status = {"phase": phase, "containerStatuses": [container], **more}
    core_of(api).patch_namespaced_pod_status(pod.metadata.name, NAMESPACE, {"status": status})
    return pod.metadata.name


@pytest.fixture
def run(api, monkeypatch) -> Callable[..., int]:
    """submit's main, with the test's cluster for that of a stack."""
    monkeypatch.setattr(submit, "connect", lambda stack, namespace: (api, PLACE))
    return lambda *arguments: main(["submit", *map(str, arguments)])


@pytest.mark.parametrize("code", [0, 3])
def test_the_drivers_exit_code_is_the_commands_and_nothing_stays(api, run, script, code):
    teller = threading.Thread(target=ends, args=(api, code))
    teller.start()
    assert run("--conf", "spark.x=1", script, "a b", "$(POD)") == code
    teller.join()
    assert within(30, lambda: not pods(api))
    core = core_of(api)
    left = {item.metadata.name for item in core.list_namespaced_config_map(NAMESPACE).items}
    assert within(30, lambda: left - {"kube-root-ca.crt"} == set()) or left


def test_what_is_made(api, run, script):
    """The real API server takes the manifests; with --keep the Job stays to be looked at.

    The files of a stack's own application of the same name and content are left alone.
    """
    application = Application("my-job", str(script), master="kubernetes")
    files = manifests(resolve(application, PLACE)).files
    of_stack = core_of(api).create_namespaced_config_map(NAMESPACE, files).metadata.name
    teller = threading.Thread(target=ends, args=(api, 0))
    teller.start()
    try:
        assert run("--keep", "--master", "kubernetes", script, "$(POD)") == 0
        (job,) = jobs_of(api).list_namespaced_job(NAMESPACE).items
        assert job.metadata.name.startswith("my-job-")
        # That it is over Kubernetes has said, too.
        assert "Complete" in {one.type for one in job.status.conditions}
        container = job.spec.template.spec.containers[0]
        assert container.args[-2:] == ["/opt/tinderbox/app/My_job.py", "$$(POD)"]
        owners = {
            item.metadata.name: [owner.uid for owner in item.metadata.owner_references or []]
            for item in core_of(api).list_namespaced_config_map(NAMESPACE).items
            if item.metadata.name.startswith("my-job-")
        }
        assert owners == {of_stack: [], job.metadata.name: [job.metadata.uid]}
    finally:
        teller.join()
        core_of(api).delete_namespaced_config_map(of_stack, NAMESPACE)
        jobs_of(api).delete_collection_namespaced_job(NAMESPACE, propagation_policy="Background")
        within(30, lambda: not pods(api))


def test_a_pod_that_gave_way_was_no_try_and_wrong_arguments_are_not_tried_again(api):
    """By the real Job controller."""
    made = manifests(resolve(Application("tries", "local:///opt/pi.py", retries=1), PLACE)).job
    made["metadata"]["name"] = "tries"
    jobs = jobs_of(api)
    jobs.create_namespaced_job(NAMESPACE, made)
    try:
        ends(api, 143, conditions=[{"type": "DisruptionTarget", "status": "True"}])
        ends(api, 2)

        def failed() -> Any:
            status = jobs.read_namespaced_job("tries", NAMESPACE).status
            return next((c for c in status.conditions or [] if c.type == "Failed"), None)

        condition = within(60, failed)
        assert condition.reason == "PodFailurePolicy", condition
        assert "exit code 2" in condition.message
        assert jobs.read_namespaced_job("tries", NAMESPACE).status.failed == 1
    finally:
        jobs.delete_namespaced_job("tries", NAMESPACE, propagation_policy="Background")
        within(30, lambda: not pods(api))


def test_a_driver_that_never_starts_is_given_up_with_the_reason(api, run, script, capsys):
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    core = core_of(api)
    core.create_namespaced_resource_quota(NAMESPACE, quota)
    try:
        within(30, lambda: core.read_namespaced_resource_quota("none", NAMESPACE).status.hard)
        assert run("--wait", "5", script) == 1
    finally:
        core.delete_namespaced_resource_quota("none", NAMESPACE)
    said = capsys.readouterr().err
    assert "no driver after 5 s: the namespace's quota is used up: " in said
    assert "exceeded quota: none" in said
    assert not jobs_of(api).list_namespaced_job(NAMESPACE).items


def test_the_controllers_own_words_of_a_time_limit_are_known(api, script):
    """Of a Job that has run for too long Kubernetes takes the pods away, and says so of the Job."""
    made = manifests(resolve(Application("late", str(script)), PLACE))
    assert made.files is not None
    jobs, core = jobs_of(api), core_of(api)
    core.create_namespaced_config_map(NAMESPACE, made.files)
    spec = {**made.job["spec"], "activeDeadlineSeconds": 1}
    job = {**made.job, "metadata": {**made.job["metadata"], "name": "late"}, "spec": spec}
    jobs.create_namespaced_job(NAMESPACE, job)
    try:
        within(60, lambda: why.cause(facts(api, NAMESPACE, "late"))["cause"] == "limit")
        (line,) = failures.of_stack(api, [NAMESPACE])
        assert line.startswith("late failed: ended at its time limit: Job was active longer than")
    finally:
        jobs.delete_namespaced_job("late", NAMESPACE, propagation_policy="Background")
        core.delete_namespaced_config_map(made.files["metadata"]["name"], NAMESPACE)
        within(30, lambda: not pods(api))


def test_a_driver_that_kubernetes_took_away_is_no_other_failure(api, script, capsys, run):
    moved = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    more = {"conditions": [{**moved, "message": "Eviction API: evicting"}]}
    teller = threading.Thread(target=ends, args=(api, 143, ""), kwargs=more)
    teller.start()
    assert run(script) == 143
    teller.join()
    said = capsys.readouterr().err
    assert "the driver failed: the driver was taken away: EvictionByEvictionAPI" in said


def test_a_job_that_is_refused_leaves_no_files(api, run, script, capsys):
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    core = core_of(api)
    core.create_namespaced_resource_quota(NAMESPACE, quota)
    try:
        within(30, lambda: core.read_namespaced_resource_quota("none", NAMESPACE).status.hard)
        assert run(script) == 1
    finally:
        core.delete_namespaced_resource_quota("none", NAMESPACE)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("submit: ") and "exceeded quota" in line
    left = {item.metadata.name for item in core.list_namespaced_config_map(NAMESPACE).items}
    assert left == {"kube-root-ca.crt"}


def test_ctrl_c_takes_all_away(api, server, script, tmp_path):
    """In a process of its own, with a real signal."""
    program = tmp_path / "run.py"
    program.write_text(
        "import os, sys, yaml\n"
        "from kubernetes import config\n"
        "from submission.place import Place\n"
        "from console.__main__ import main\n"
        "from console.verbs import submit\n"
        "api = config.new_client_from_config_dict(yaml.safe_load(os.environ['CONFIG']))\n"
        f"submit.connect = lambda stack, namespace: (api, {PLACE!r})\n"
        f"sys.exit(main(['submit', {str(script)!r}]))\n"
    )
    env = {**os.environ, "CONFIG": server.kubeconfig, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, program], env=env)
    within(60, lambda: pods(api))
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 130
    assert within(30, lambda: not pods(api))


def may(api: client.ApiClient, verb: str, resource: str, namespace: str = NAMESPACE) -> bool:
    """What `kubectl auth can-i VERB RESOURCE --as` Spark's account asks."""
    resource, _, subresource = resource.partition("/")
    name, _, group = resource.partition(".")
    attributes = {
        "namespace": namespace,
        "verb": verb,
        "group": group,
        "resource": name,
        "subresource": subresource,
    }
    review = {"spec": {"user": ACCOUNT, "resourceAttributes": attributes}}
    authorization: Any = client.AuthorizationV1Api(api)
    return authorization.create_subject_access_review(review).status.allowed


def test_sparks_account_may_do_what_a_driver_does_and_no_more(api):
    for verb in ("create", "get", "list", "watch", "patch", "delete", "deletecollection"):
        for resource in ("pods", "services", "configmaps", "networkpolicies.networking.k8s.io"):
            assert may(api, verb, resource), (verb, resource)
    assert may(api, "get", "pods/log")
    for verb, resource in (
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "pods/exec"),
        ("create", "persistentvolumeclaims"),
        ("create", "jobs.batch"),
        ("get", "nodes"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("impersonate", "serviceaccounts"),
    ):
        assert not may(api, verb, resource), (verb, resource)
    for verb in ("get", "list", "create", "delete"):
        assert not may(api, verb, "pods", "kube-system")
