"""After `make up`: the cluster is whole and the count is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.stack import ROOT
from tests.e2e.conftest import Up

# kube-proxy hears of a new service a moment after it is made.
ASK = """
import socket, time, urllib.error, urllib.request
print(socket.gethostbyname("probe-b.default.svc.cluster.local"))
end = time.monotonic() + 20
while True:
    try:
        print(urllib.request.urlopen("http://probe-b:8000/", timeout=5).status)
        break
    except urllib.error.URLError:
        if time.monotonic() > end:
            raise
        time.sleep(0.2)
"""

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
    - name: probe
      image: docker.io/apache/spark:4.2.0-python3
      command: [python3, -m, http.server, "8000"]
      readinessProbe: {{httpGet: {{port: 8000, path: /}}, periodSeconds: 1}}
"""


def test_every_node_is_ready_and_labelled(up: Up):
    nodes = {node["metadata"]["name"]: node for node in up.get("nodes")["items"]}
    assert set(nodes) == up.hosts()
    for node in nodes.values():
        conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        labels = node["metadata"]["labels"]
        assert labels["node.kubernetes.io/instance-type"] == "t3.medium"
        assert labels["topology.kubernetes.io/region"] == "eu-central-1"
        assert labels["topology.kubernetes.io/zone"].startswith("eu-central-1")


def test_no_pod_crashes(up: Up):
    """What broke by hand: CrashLoopBackOff of flannel, kube-proxy and CoreDNS."""
    pods = up.get("pods", "--all-namespaces")["items"]
    names = {pod["metadata"]["name"].rsplit("-", 1)[0] for pod in pods}
    assert {"kube-flannel-ds", "kube-proxy"} <= names
    for pod in pods:
        for container in pod["status"].get("containerStatuses", []):
            waiting = container["state"].get("waiting", {}).get("reason")
            assert waiting is None, (pod["metadata"]["name"], waiting)


def test_names_and_traffic_cross_nodes(up: Up):
    """A pod on one worker finds a service by name and reaches its pod on the other worker."""
    workers = [node["hostName"] for node in up.outputs()["nodes"] if node["role"] == "worker"]
    assert len(workers) == 2
    try:
        for name, node in zip(("probe-a", "probe-b"), workers, strict=True):
            _apply(up, POD.format(name=name, node=node))
        up.kubectl("wait", "--for=condition=Ready", "pod/probe-a", "pod/probe-b", "--timeout=90s")
        up.kubectl("expose", "pod", "probe-b", "--port=8000", "--name=probe-b")
        printed = up.kubectl("exec", "probe-a", "--", "python3", "-c", ASK).split()
        service = up.get("service", "probe-b")["spec"]["clusterIP"]
        assert printed == [service, "200"]
    finally:
        up.kubectl("delete", "pod/probe-a", "pod/probe-b", "--now", check=False)
        up.kubectl("delete", "service/probe-b", check=False)


def _apply(up: Up, manifest: str) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(manifest)
        file.flush()
        up.kubectl("apply", "-f", file.name)


def test_the_counts_are_those_of_counter(up: Up, text: Path):
    up.assert_counted(text)


def test_each_worker_node_has_a_spark_worker(up: Up):
    """That executors on both do the work is in test_65_operations.py."""
    pods = up.get("pods", "-n", "spark", "-l", "app.kubernetes.io/component=worker")["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2


def test_the_report_shows_words_and_time(up: Up):
    assert "words," in up.printed and "different" in up.printed
    run = json.loads((ROOT / ".tinderbox" / "local" / "last-run.json").read_text())
    assert run["wordCount"] == up.outputs()["wordCount"]
    # Of the call that ended it: those before were killed (test_05_killed.py).
    names = {phase["name"] for phase in run["phases"]}
    assert {"local cloud", "Spark", "word count"} <= names


def test_metrics_server_trusts_kubelets_by_their_certificates(up: Up):
    pods = up.get("pods", "-n", "kube-system", "-l", "app.kubernetes.io/name=metrics-server")
    arguments = pods["items"][0]["spec"]["containers"][0]["args"]
    assert "--kubelet-insecure-tls" not in arguments
    usage = json.loads(up.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"))
    assert len(usage["items"]) == 3


def test_join_tokens_are_revoked(up: Up):
    left = up.get(
        "secrets", "-n", "kube-system", "--field-selector", "type=bootstrap.kubernetes.io/token"
    )["items"]
    descriptions = [secret["data"].get("description") for secret in left]
    assert not any(descriptions)


def test_secrets_are_in_no_plain_state(up: Up):
    exported = up.stack.pulumi("stack", "export", "-s", "local", capture=True)
    for secret in ("PRIVATE KEY", "client-key-data"):
        assert secret not in exported
    assert up.outputs()["kubeconfig"] == "[secret]"
    key = ROOT / ".tinderbox" / "local" / "id_ed25519"
    assert key.stat().st_mode & 0o777 == 0o600


def test_inventory_lists_what_was_made(up: Up):
    inventory = json.loads((ROOT / "inventory.json").read_text())
    assert inventory == up.outputs()["inventory"]
    assert [i["InstanceId"] for i in inventory["Instances"]] == [
        node["instanceId"] for node in up.outputs()["nodes"]
    ]


def test_security_groups_hold_from_outside(up: Up):
    """kubelet's port answers between nodes (metrics-server shows it), and not from outside."""
    import socket

    control_plane, worker, *_ = (node["publicIp"] for node in up.outputs()["nodes"])
    for address, port in ((control_plane, 10250), (worker, 10250), (worker, 22), (worker, 6443)):
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=3)
    for port in (22, 6443):
        socket.create_connection((control_plane, port), timeout=3).close()
