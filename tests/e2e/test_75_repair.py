"""A lost control plane comes back from its snapshot; so does an older state."""

from __future__ import annotations

import re
from pathlib import Path

from localcloud.api.client import ec2_client
from tests.e2e.conftest import Up, write_text
from tests.e2e.meanwhile import pods_of_workers, wait_for


def _authority(up: Up) -> str:
    """The cluster's CA, by the operator's kubeconfig."""
    text = up.stack.outputs(secrets=True)["kubeconfig"]
    found = re.search(r"certificate-authority-data: (\S+)", text)
    assert found
    return found[1]


def test_a_backup_is_told_by_status(up: Up):
    printed = up.make("backup")
    name = re.search(r"^(\S+\.snapshot), \d+ KiB$", printed, re.M)
    assert name
    status = up.make("status")
    assert f"the newest 0 min old ({name[1]})" in status
    assert re.search(r"^Certificates: 36\d days left, the CA's 36\d\d$", status, re.M)
    assert "WARNING" not in status
    # Root's only, and nothing that can be read without the key.
    folder = "/srv/shared/tinderbox/backups"
    for command in (f"ls {folder}", f"cat {folder}/{name[1]}"):
        assert up.ssh(up.control_plane(), command).returncode != 0
    found = up.ssh(up.control_plane(), f"sudo grep -c kube-system {folder}/{name[1]}")
    assert found.stdout.strip() == "0"


def test_a_lost_control_plane_comes_back_with_all_that_was_in_the_cluster(up: Up, tmp_path: Path):
    up.kubectl("-n", "default", "create", "configmap", "made-before", "--from-literal=a=b")
    up.make("backup")
    up.kubectl("-n", "default", "create", "configmap", "made-after", "--from-literal=a=b")
    before, counted = up.outputs()["nodes"], up.outputs()["wordCount"]
    authority, pods = _authority(up), pods_of_workers(up)
    assert pods
    uid = up.get("-n", "spark", "statefulset/spark-master")["metadata"]["uid"]
    ec2_client().terminate_instances(InstanceIds=[before[0]["instanceId"]])

    printed = up.make("up", "REFRESH=1")
    assert "this cluster goes on as it was at 20" in printed
    after = up.outputs()["nodes"]
    assert after[0]["instanceId"] != before[0]["instanceId"]
    assert after[0]["publicIp"] == before[0]["publicIp"]
    assert after[1:] == before[1:]
    assert _authority(up) == authority
    assert up.get("-n", "default", "configmap/made-before")["data"] == {"a": "b"}
    assert "made-after" not in up.kubectl("-n", "default", "get", "configmaps")
    assert up.get("-n", "spark", "statefulset/spark-master")["metadata"]["uid"] == uid
    wait_for("all nodes", lambda: up.ready() == up.hosts())
    assert {node["metadata"]["name"] for node in up.get("nodes")["items"]} == up.hosts()
    # The pod network reaches the new control plane once flannel has seen it: a minute or two.
    master = "/api/v1/namespaces/spark/services/http:spark-master:8080/proxy/json/"
    wait_for("the pod network", lambda: up.kubectl("get", "--raw", master, check=False))
    # Not drained, not restarted, not joined anew.
    now = pods_of_workers(up)
    assert pods.items() <= now.items()
    assert up.outputs()["wordCount"] == counted
    assert up.changes() == {}

    text = tmp_path / "after.txt"
    write_text(text, seed=75, words=3_000)
    up.make("up", f"INPUT={text}")
    up.assert_counted(text)


def test_an_older_state_is_brought_back(up: Up):
    up.kubectl("-n", "default", "create", "configmap", "on-monday", "--from-literal=a=b")
    (line,) = re.findall(r"^(\S+\.snapshot), ", up.make("backup"), re.M)
    up.kubectl("-n", "default", "delete", "configmap", "on-monday")
    assert "nobody is here to be asked" in up.make("restore", f"SNAPSHOT={line}", fails=True)
    assert line in up.make("restore")
    up.make("restore", f"SNAPSHOT={line}", "YES=1")
    assert up.get("-n", "default", "configmap/on-monday")["data"] == {"a": "b"}
    wait_for("all nodes", lambda: up.ready() == up.hosts())
    assert up.changes() == {}


def _settled(up: Up) -> dict[str, str]:
    """The workers' pods, once they are the same for five looks: an older state was brought back."""
    seen: list[dict[str, str]] = []

    def is_steady() -> bool:
        seen.append(pods_of_workers(up))
        return len(seen) >= 5 and all(one == seen[-1] for one in seen[-5:])

    wait_for("pods that stay as they are", is_steady)
    return seen[-1]


def _who(up: Up, **config: Path) -> str:
    """Whom the API takes the operator for; "" where it takes him for nobody."""
    asked = ("auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo}")
    return up.kubectl(*asked, check=False, **config)


def test_the_operator_is_an_identity_that_can_be_taken_away(
    up: Up, settings_are_kept: None, tmp_path: Path
):
    who = _who(up)
    assert who.startswith("tinderbox:operator-1 ") and "masters" not in who
    former = tmp_path / "kubeconfig"
    former.touch(0o600)
    former.write_text(up.stack.outputs(secrets=True)["kubeconfig"])
    allowed = ("auth", "can-i", "get", "secrets", "--all-namespaces")
    assert up.kubectl(*allowed, config=former).strip() == "yes"
    counted, pods = up.outputs()["wordCount"], _settled(up)
    up.configure({"cluster": {"operator": 2}})
    up.pulumi("up", "--yes", "--skip-preview")
    assert (up.outputs()["wordCount"], pods_of_workers(up)) == (counted, pods)
    assert _who(up).startswith("tinderbox:operator-2 ")
    assert up.kubectl(*allowed).strip() == "yes"
    assert up.kubectl(*allowed, config=former, check=False).strip() == "no"
    assert up.changes() == {}
