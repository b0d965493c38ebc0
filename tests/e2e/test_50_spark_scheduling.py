"""Where Spark's pods go, what they may take, what they see; and submitting from outside.

The three tests about a namespace share it: it is made by the stack's settings, and goes with them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import subprocess
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyspark
import pytest
import yaml

from console.stack import ROOT
from submission.units import quantity
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import wait_for

APP = "tests/apps/placed.py"
TEAM = "team"
GROUP = "tinderbox.test/group"
SPARK_SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"
SMALL = [
    *("--executor-cores", "1", "--executor-memory", "512m"),
    *("--conf", "spark.kubernetes.executor.request.cores=200m"),
]


@dataclass
class Submitted:
    """One `make submit`, running or done."""

    process: subprocess.Popen[str]

    def end(self, within: float = 300) -> tuple[int, str]:
        """Its exit code and all that it printed."""
        printed, _ = self.process.communicate(timeout=within)
        print(printed)
        return self.process.returncode, printed


def submit(*options: str, args: str = "4 0.1") -> Submitted:
    """Starts `make submit` of the test's application on executors of its own."""
    chosen = " ".join(["--master kubernetes", *options])
    process = subprocess.Popen(
        ["make", "-s", "submit", f"APP={APP}", f"ARGS={args}", f"OPTIONS={chosen}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Submitted(process)


def result(printed: str) -> dict[str, Any]:
    """The line of JSON that the application printed."""
    return json.loads(next(line for line in printed.splitlines() if line.startswith('{"sum"')))


def pods(up: Up, namespace: str, selector: str = "") -> list[dict[str, Any]]:
    """Pods of a namespace."""
    return up.get("pods", "-n", namespace, "-l", selector)["items"]


@pytest.fixture(scope="module")
def team(up: Up) -> Iterator[str]:
    """The namespace with a quota, and a Secret in it; the password."""
    for key, value in (("cpu", "2"), ("memoryMiB", "6000"), ("pods", "6")):
        setting = f"tinderbox:namespaces.{TEAM}.{key}"
        up.stack.pulumi("config", "set", "--path", setting, value, own=True)
    update = ["up", "--yes", "--skip-preview"]
    up.stack.pulumi(*update, own=True)
    password = secrets.token_hex(16)
    secret = ["create", "secret", "generic", "vault", f"--from-literal=password={password}"]
    up.kubectl("-n", TEAM, *secret)
    yield password
    up.stack.pulumi("config", "rm", "tinderbox:namespaces", own=True)
    up.stack.pulumi(*update, own=True)


@pytest.fixture
def groups(up: Up) -> Iterator[dict[str, str]]:
    """Two groups of nodes, {group: node}; the executors' takes no pods that don't ask for it."""
    one, two = [node["hostName"] for node in up.outputs()["nodes"] if node["role"] == "worker"][:2]
    taint = f"{GROUP}=executors:NoSchedule"
    up.kubectl("label", "node", one, f"{GROUP}=drivers")
    up.kubectl("label", "node", two, f"{GROUP}=executors")
    up.kubectl("taint", "node", two, taint)
    yield {"drivers": one, "executors": two}
    up.kubectl("taint", "node", two, f"{taint}-")
    up.kubectl("label", "node", one, two, f"{GROUP}-")


def test_a_namespace_secrets_and_each_role_in_its_place(
    up: Up, team: str, groups: dict[str, str]
) -> None:
    conf = {
        "spark.kubernetes.driver.node.selector." + GROUP: "drivers",
        "spark.kubernetes.executor.node.selector." + GROUP: "executors",
        "spark.kubernetes.driver.label.owner": "me",
        "spark.kubernetes.executor.label.owner": "mine",
        "spark.kubernetes.executor.annotation.why": "test",
        "spark.kubernetes.driver.secretKeyRef.PASSWORD": "vault:password",
        "spark.kubernetes.executor.secretKeyRef.PASSWORD": "vault:password",
        "spark.kubernetes.driver.secrets.vault": "/etc/vault",
        "spark.kubernetes.executor.secrets.vault": "/etc/vault",
        "spark.kubernetes.container.image.pullPolicy": "Always",
        # So that the test can look at them.
        "spark.kubernetes.executor.deleteOnTermination": "false",
    }
    options = [word for pair in conf.items() for word in ("--conf", "=".join(pair))]
    run = submit(
        *("--namespace", TEAM, "--keep", "--num-executors", "2", "--priority-class", "batch"),
        *("--toleration", f"{GROUP}=executors:NoSchedule"),
        *SMALL,
        *options,
    )
    code, printed = run.end()
    assert code == 0
    found = result(printed)
    digest = hashlib.sha256(team.encode()).hexdigest()
    assert found["sum"] == 6
    assert found["driver"] == found["executor"] == [digest, digest]

    (driver,) = pods(up, TEAM, "owner=me")
    executors = pods(up, TEAM, "owner=mine")
    assert len(executors) == 2
    assert driver["spec"]["nodeName"] == groups["drivers"]
    for pod in executors:
        assert pod["spec"]["nodeName"] == groups["executors"]
        assert pod["metadata"]["annotations"]["why"] == "test"
        assert pod["metadata"]["ownerReferences"][0]["name"] == driver["metadata"]["name"]
    for pod in [driver, *executors]:
        assert pod["spec"]["priorityClassName"] == "batch"
        policies = {one["name"]: one["imagePullPolicy"] for one in pod["spec"]["containers"]}
        assert policies["driver" if pod is driver else "executor"] == "Always"

    # The password is in no log, no manifest and no event log.
    logs = [
        up.kubectl("logs", "-n", TEAM, pod["metadata"]["name"], "--all-containers")
        for pod in [driver, *executors]
    ]
    manifests = up.kubectl("get", "-n", TEAM, "pods,jobs,configmaps", "-o", "yaml")
    node = up.control_plane()
    leaked = up.ssh(node, f"sudo grep -rl {team} /srv/shared/spark")
    assert (leaked.returncode, leaked.stdout) == (1, "")
    events = up.event_logs()  # which are compressed
    assert "secretKeyRef.PASSWORD" in events  # the property, with the Secret's name
    for text in (printed, manifests, events, *logs):
        assert team not in text

    up.kubectl("delete", "jobs", "-n", TEAM, "--all", "--wait")
    wait_for("the driver's and its executors' end", lambda: pods(up, TEAM) == [])


def test_what_exceeds_the_quota_ends_with_the_quotas_reason(up: Up, team: str) -> None:
    never = submit("--name", "never", "--namespace", TEAM, "--num-executors", "9", *SMALL)
    code, printed = never.end()
    assert code != 0
    assert "the driver and 9 executors would take more than the quota of namespace team" in printed
    assert up.get("jobs", "-n", TEAM, "-l", "app=never")["items"] == []

    # Others have what would have been enough, which only Kubernetes knows.
    hold = {"requests": {"cpu": "1700m", "memory": "64Mi"}}
    image = up.outputs()["spark"]["image"]
    container = {"name": "hold", "image": image, "command": ["sleep", "600"], "resources": hold}
    with made(up, pod_manifest("hold", TEAM, container)):
        limit = ["--start-within", "15", "--num-executors", "1"]
        refused = submit("--namespace", TEAM, *limit, "--executor-cores", "1", *SMALL[2:4])
        nowhere = submit(
            *limit, *SMALL, "--conf", f"spark.kubernetes.executor.node.selector.{GROUP}=none"
        )
        for run, reason in (
            (refused, "first executor: no executor.*exceeded quota: applications"),
            (nowhere, f"an executor fits on no node: none has the label {re.escape(GROUP)}=none"),
        ):
            code, printed = run.end()
            assert code != 0
            assert re.search(reason, printed)
    for namespace in (TEAM, "spark"):
        assert pods(up, namespace, "app=placed") == []


def pod_manifest(name: str, namespace: str, container: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


@contextlib.contextmanager
def made(up: Up, manifest: dict[str, Any]) -> Generator[None]:
    """An object that is there while the block runs."""
    file = ROOT / ".tinderbox" / "e2e-object.json"
    file.write_text(json.dumps(manifest))
    up.kubectl("apply", "-f", str(file))
    try:
        yield
    finally:
        up.kubectl("delete", "-f", str(file), "--wait")
        file.unlink()


def test_interactive_work_goes_before_batch_and_batch_ends_well(up: Up) -> None:
    """Both want all that the nodes have left: the second comes first, the first comes through."""
    nodes = up.get("nodes")["items"]
    # More than half of a node, so that two of them have no room on one.
    cores = max(quantity(node["status"]["allocatable"]["cpu"]) for node in nodes) * 0.55
    request = f"spark.kubernetes.executor.request.cores={cores * 1000:.0f}m"
    big = ["--executor-memory", "512m", "--conf", request]
    batch = submit(
        *("--name", "slow", "--priority-class", "batch", "--num-executors", "2"), *big, args="40 1"
    )
    # One on each worker node: no other of that size has room.
    running = "app=slow,spark-role=executor"
    wait_for("two executors of batch", lambda: phases(up, running) == ["Running", "Running"])
    interactive = submit(
        *("--name", "quick", "--priority-class", "interactive", "--num-executors", "1"), *big
    )
    code, printed = interactive.end()
    assert code == 0 and result(printed)["sum"] == 6
    code, printed = batch.end()
    assert code == 0 and result(printed)["sum"] == sum(range(40))
    preempted = up.get("events", "-n", "spark", "--field-selector", "reason=Preempted")["items"]
    assert {event["involvedObject"]["name"].partition("-")[0] for event in preempted} == {"slow"}


def phases(up: Up, selector: str) -> list[str]:
    """The phases of pods in Spark's namespace."""
    return [pod["status"]["phase"] for pod in pods(up, "spark", selector)]


def test_submitting_from_outside_by_certificate_and_by_token(up: Up, tmp_path: Path) -> None:
    """With Spark's own spark-submit on this host, and the cluster's public address."""
    outputs = up.stack.outputs(secrets=True)
    (tmp_path / "kubeconfig").write_text(outputs["kubeconfig"])
    cluster = yaml.safe_load(outputs["kubeconfig"])["clusters"][0]["cluster"]
    authority = tmp_path / "ca.crt"
    authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    token = up.kubectl("create", "token", "spark", "-n", "spark").strip()
    by_token = {
        "spark.kubernetes.authenticate.submission.caCertFile": str(authority),
        "spark.kubernetes.authenticate.submission.oauthToken": token,
    }
    runs = {
        "certificate": outside(up, tmp_path, "certificate", cluster["server"], {}),
        # As an operator does that was given docs/spark/operators/apache.yaml.
        "operator": outside(
            up, tmp_path, "operator", cluster["server"], by_token | operators_conf()
        ),
        # What the account may do, it may do in Spark's namespace only.
        "elsewhere": outside(
            *(up, tmp_path, "elsewhere", cluster["server"]),
            by_token | {"spark.kubernetes.namespace": "default"},
        ),
    }
    printed = {name: run.communicate(timeout=300)[0] for name, run in runs.items()}
    for name in ("certificate", "operator"):
        assert runs[name].returncode == 0, printed[name]
        log = up.kubectl("logs", "-n", "spark", f"outside-{name}")
        assert "Pi is roughly 3.1" in log
        up.kubectl("delete", "pod", "-n", "spark", f"outside-{name}")
    assert '"spark.kubernetes.driver.pod.name":"outside-operator"' in up.event_logs()
    assert runs["elsewhere"].returncode != 0
    assert "is forbidden" in printed["elsewhere"]
    assert token not in "".join(printed.values())


def operators_conf() -> dict[str, str]:
    """The properties of the application that the docs have for an operator."""
    file = ROOT / "docs" / "spark" / "operators" / "apache.yaml"
    return yaml.safe_load(file.read_text())["spec"]["sparkConf"]


def outside(
    up: Up, folder: Path, name: str, server: str, conf: dict[str, str]
) -> subprocess.Popen[str]:
    """Starts spark-submit on this host, in cluster mode."""
    image = up.outputs()["spark"]["image"]
    properties = {
        "spark.kubernetes.namespace": "spark",
        "spark.kubernetes.container.image": image,
        "spark.kubernetes.authenticate.driver.serviceAccountName": "spark",
        "spark.kubernetes.driver.pod.name": f"outside-{name}",
        "spark.kubernetes.driver.request.cores": "100m",
        "spark.kubernetes.executor.request.cores": "100m",
        "spark.executor.instances": "1",
        "spark.driver.memory": "512m",
        "spark.executor.memory": "512m",
        **conf,
    }
    file = folder / f"{name}.conf"
    file.write_text("".join(f"{key} {value}\n" for key, value in properties.items()))
    file.chmod(0o600)
    program = "local:///opt/spark/examples/src/main/python/pi.py"
    target = ["--master", f"k8s://{server}", "--deploy-mode", "cluster"]
    config = "none" if conf else "kubeconfig"
    return subprocess.Popen(
        [SPARK_SUBMIT, *target, "--properties-file", file, "--name", name, program, "4"],
        env={**os.environ, "KUBECONFIG": str(folder / config), "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
