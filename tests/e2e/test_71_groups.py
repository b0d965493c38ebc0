"""A group of workers beside the others comes, takes what tolerates it, grows, changes and goes.

And a stack that grows for one application.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import Any

from console.stack import ROOT
from localcloud.api.client import interrupt
from localcloud.host import cgroups
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import Slow, wait_for
from tests.e2e.test_50_spark_scheduling import SMALL, pods, result, submit
from tests.seen import seen

GROUP = "tinderbox.internal/group"
SIDE: dict[str, Any] = {
    "spot": True,
    "labels": {"team": "side", "old": "yes"},
    "taints": ["dedicated=side:NoSchedule", "old:PreferNoSchedule"],
}


def _update(up: Up, **side: Any) -> str:
    up.configure({"workers": {"side": side or None}})
    return up.stack.pulumi("up", "--yes", "--skip-preview", own=True, capture=True)


def _nodes(up: Up) -> list[dict[str, Any]]:
    """Those of the group, as Kubernetes has them."""
    return up.get("nodes", "-l", f"{GROUP}=side")["items"]


def _taints(node: dict[str, Any]) -> set[str]:
    """But for those of Kubernetes' own, which may stay for a moment after a node is Ready."""
    own = "node.kubernetes.io/"
    found = [one for one in node["spec"].get("taints", []) if not one["key"].startswith(own)]
    return {f"{one['key']}={one.get('value', '')}:{one['effect']}" for one in found}


def test_a_group_takes_what_tolerates_it_grows_changes_and_goes(
    up: Up, settings_are_kept: None
) -> None:
    before, counted = up.outputs()["nodes"], up.outputs()["wordCount"]

    # No image of that kind is in the region.
    up.configure({"workers": {"side": {"type": "t4g.medium", "price": 0.05}}})
    refused = up.pulumi("preview", fails=True)
    assert "tinderbox:workers.side.type is 't4g.medium (arm64)'; it must be of another" in refused
    up.configure({"workers": {"side": SIDE}})
    assert "workers.side.taints: no application of the settings tolerates" in up.pulumi("preview")
    new = {name for name, op in up.changes().items() if op == "create"}
    assert new and all(name.startswith("tinderbox-local-side-1") for name in new)

    with seen("a group of workers more"):
        _update(up, **SIDE)
    assert up.outputs()["nodes"][:-1] == before
    (node,) = _nodes(up)
    name, labels = node["metadata"]["name"], node["metadata"]["labels"]
    assert SIDE["labels"].items() < labels.items()
    assert labels["tinderbox.internal/capacity-type"] == "spot"
    assert _taints(node) == {"dedicated=side:NoSchedule", "old=:PreferNoSchedule"}
    assert up.ready() == up.hosts()

    # Executors go there, since they ask for it; the driver may, and prefers nodes on demand.
    chosen = f"spark.kubernetes.executor.node.selector.{GROUP}=side"
    kept = "spark.kubernetes.executor.deleteOnTermination=false"
    tolerated = ["--toleration", "dedicated=side:NoSchedule"]
    run = submit("--keep", *tolerated, *SMALL, "--conf", chosen, "--conf", kept)
    code, printed = run.end()
    assert code == 0 and result(printed)["sum"] == 6
    job = printed.split("submit: job ")[1].split()[0]
    executors = pods(up, "spark", "spark-role=executor")
    (driver,) = pods(up, "spark", f"batch.kubernetes.io/job-name={job}")
    assert {pod["spec"]["nodeName"] for pod in executors} == {name}
    assert driver["spec"]["nodeName"] in up.workers() - {name}
    up.kubectl("delete", "pods", "-n", "spark", "-l", "spark-role=executor")
    up.kubectl("delete", "job", "-n", "spark", job)
    # Nothing else came.
    there = up.get("pods", "-A", "--field-selector", f"spec.nodeName={name}")["items"]
    assert {pod["metadata"]["ownerReferences"][0]["kind"] for pod in there} == {"DaemonSet"}

    # It grows, and the node that lives gets what the settings say now; what others did stays.
    up.kubectl("label", "node", name, "by.hand/label=kept")
    up.kubectl("taint", "node", name, "by-hand:PreferNoSchedule")
    taints = ["dedicated=other:NoSchedule"]
    _update(up, **{**SIDE, "count": 2, "labels": {"team": "other"}, "taints": taints})
    nodes = {one["metadata"]["name"]: one for one in _nodes(up)}
    assert len(nodes) == 2 and up.ready() == up.hosts()
    assert {one["metadata"]["labels"]["team"] for one in nodes.values()} == {"other"}
    assert not [one for one in nodes.values() if "old" in one["metadata"]["labels"]]
    assert nodes[name]["metadata"]["labels"]["by.hand/label"] == "kept"
    assert _taints(nodes.pop(name)) == {"dedicated=other:NoSchedule", "by-hand=:PreferNoSchedule"}
    (second,) = nodes.values()
    assert _taints(second) == {"dedicated=other:NoSchedule"}

    _update(up, **{**SIDE, "labels": {"team": "other"}, "taints": taints})
    assert [one["metadata"]["name"] for one in _nodes(up)] == [name]
    with seen("a group of workers fewer"):
        printed = _update(up)
    assert "cordoned" in printed  # it is drained before it goes
    assert up.outputs()["nodes"] == before
    assert not _nodes(up) and up.ready() == up.hosts()
    assert up.outputs()["wordCount"] == counted  # nothing ran again
    assert up.changes() == {}


#: In a pod: what the instance metadata service gives, which is for nodes alone.
METADATA = """
import urllib.request
ask = urllib.request.Request(
    "http://169.254.169.254/latest/api/token",
    headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"},
    method="PUT",
)
try:
    print("token", urllib.request.urlopen(ask, timeout=3).read())
except OSError as error:
    print("none")
"""


def test_a_spot_node_empties_itself_on_notice_and_an_application_goes_on(
    up: Up, settings_are_kept: None
) -> None:
    _update(up, spot=True)
    node = up.outputs()["nodes"][-1]
    assert up.ssh(node, "systemctl is-active tinderbox-spot-notice").stdout == "active\n"
    asked = ("exec", "-n", "spark", "deployment/spark-worker", "--", "python3", "-c", METADATA)
    assert up.kubectl(*asked) == "none\n"
    app = Slow(up, tasks=40, seconds=2, waits=True, retries=2)
    try:
        wait_for("all workers at work", lambda: len(app.hosts_at_work()) == 3)
        interrupt(node["instanceId"], 60)
        wait_for("its end", lambda: not cgroups.processes(node["instanceId"]))
        reasons = [one.get("removeReason", "") for one in app.api("allexecutors")]
        assert any("decommission" in reason for reason in reasons), reasons
        app.assert_right()
    finally:
        app.delete()
    up.stack.pulumi("up", "--yes", "--skip-preview", "--refresh", own=True)
    assert up.outputs()["nodes"][-1]["instanceId"] != node["instanceId"]
    assert up.ready() == up.hosts()


def _growing() -> list[str]:
    """The command of docs/groups.md, for the local stack."""
    lines = (ROOT / "docs" / "groups.md").read_text().splitlines()
    (line,) = [line for line in lines if line.strip().startswith("make") and "--grow" in line]
    return [word for word in shlex.split(line)[1:] if word != "STACK=dev"]


def test_a_stack_grows_for_an_application_and_is_what_it_was(
    up: Up, settings_are_kept: None
) -> None:
    before, written = up.outputs()["nodes"], up.stack.shipped_file.read_text()
    assert "--grow: nodes.growTo is not set, so no node may come" in up.make(
        *_growing(), fails=True
    )
    up.configure({"nodes": {"growTo": 4}})
    printed = up.make(*_growing())
    assert "submit: 3 executors of 1.01 CPU and 1568 MiB need 1 more of nodes: t3.med" in printed
    assert "Pi is roughly 3.1" in printed
    assert up.outputs()["nodes"] == before and up.ready() == up.hosts()
    assert up.stack.shipped_file.read_text() == written

    # More than the limit: what has room runs. Then it is killed, with the stack grown.
    words = ["--master", "kubernetes", "--num-executors", "9", "--keep", "--grow"]
    process = subprocess.Popen(
        [sys.executable, "-m", "console", "submit", *words, "tests/apps/placed.py", "9", "60"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for("three executors", lambda: len(_executors(up)) == 3)
        grown = up.outputs()["nodes"]
        assert grown[:-1] == before
        assert grown[-1]["hostName"] in _executors(up)
        assert "is grown for a `make submit` that runs" in up.make("up", fails=True)
    finally:
        process.kill()
        said = process.communicate()[1]
    assert "need more than 4, which is nodes.growTo: with 1 more, 3 run at once" in said
    assert up.outputs()["nodes"] == grown
    up.kubectl("delete", "jobs", "-n", "spark", "-l", "app=placed")
    printed = up.make("submit", "ARGS=1000")
    assert "submit: a `make submit --grow` was killed: the stack's nodes go back" in printed
    assert "Pi is roughly 3" in printed
    assert up.outputs()["nodes"] == before and up.ready() == up.hosts()
    assert up.changes() == {}


def _executors(up: Up) -> set[str]:
    """The nodes of those that run."""
    found = pods(up, "spark", "spark-role=executor")
    return {pod["spec"]["nodeName"] for pod in found if pod["status"]["phase"] == "Running"}
