"""Three control planes: one is killed, the API answers, `up` makes it good; then one, and three."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from console.stack import ROOT, Stack
from localcloud.api.client import aws_client, ec2_client
from localcloud.layout import STATE
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import Slow, Watch, pods, wait_for

#: Within so many seconds of a kill the API is there.
AWAY = 10


@pytest.fixture(scope="module")
def up(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack of three control planes and a worker, on a local cloud of its own."""
    assert not STATE.exists(), "there is a local cloud already: make destroy"
    made = Up(Stack("local"))
    try:
        subprocess.run([sys.executable, "-m", "localcloud", "up"], cwd=ROOT, check=True)
        made.stack.prepare(str(text))
        made.configure({"nodes": {"controlPlanes": 3, "count": 4}})
        made.stack.up(tmp_path_factory.mktemp("up") / "events.jsonl")
        yield made
    finally:
        subprocess.run(["make", "destroy"], cwd=ROOT, check=True)
    assert not STATE.exists()


def _members(up: Up) -> dict[str, str]:
    """State by name of etcd's members, by the first one's word."""
    pki = "/etc/kubernetes/pki/etcd"
    asked = "sudo /usr/local/lib/tinderbox/etcdctl --endpoints https://127.0.0.1:2379 member list"
    keys = f"--cacert {pki}/ca.crt --cert {pki}/healthcheck-client.crt"
    told = up.ssh(up.control_plane(), f"{asked} {keys} --key {pki}/healthcheck-client.key").stdout
    fields = [line.split(", ") for line in told.splitlines()]
    return {one[2]: one[1] for one in fields}


def _control_planes(up: Up) -> list[dict[str, Any]]:
    return [node for node in up.outputs()["nodes"] if node["role"] == "control plane"]


def test_the_words_are_counted_and_all_are_members(up: Up, text: Path):
    up.assert_counted(text)
    assert _members(up) == {node["hostName"]: "started" for node in _control_planes(up)}
    assert up.ready() == up.hosts()
    assert up.changes() == {}


def test_a_snapshot_is_not_brought_back(up: Up):
    (name,) = re.findall(r"^(\S+\.snapshot), ", up.make("backup"), re.M)
    refused = up.make("restore", f"SNAPSHOT={name}", "YES=1", fails=True)
    assert "this cluster has 3 control planes" in refused


@pytest.mark.parametrize("place", [1, 0])
def test_one_is_killed_and_made_good(up: Up, place: int):
    before = _control_planes(up)
    # It ends by itself: the way in by SSH may be what is killed.
    slow = Slow(up, tasks=30, seconds=3, retries=2)
    slow.wait_for_tasks(2)
    ec2_client().terminate_instances(InstanceIds=[before[place]["instanceId"]])
    wait_for("its end", lambda: _is_gone(before[place]["instanceId"]), 60)
    wait_for("the API", lambda: up.kubectl("get", "--raw", "/readyz", check=False) == "ok", AWAY)
    slow.assert_right()
    slow.delete()

    # As `make up REFRESH=1`, which would bring back the settings that the repo has.
    for verb in ("refresh", "up"):
        up.pulumi(verb, "--yes", "--skip-preview")
    after = _control_planes(up)
    assert after[place]["instanceId"] != before[place]["instanceId"]
    assert _members(up) == {node["hostName"]: "started" for node in after}
    wait_for("all nodes", lambda: up.ready() == up.hosts(), 240)
    assert {node["metadata"]["name"] for node in up.get("nodes")["items"]} == up.hosts()
    assert up.changes() == {}


def _is_gone(instance: str) -> bool:
    found = ec2_client().describe_instances(InstanceIds=[instance])["Reservations"]
    return found[0]["Instances"][0]["State"]["Name"] == "terminated"


def test_the_balancers_are_as_the_api_says(up: Up):
    balancers = aws_client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert sorted(one["Scheme"] for one in balancers) == ["internal", "internet-facing"]


def _of_the_first(up: Up) -> str:
    """A kubeconfig of the first one's own address, whatever names its certificate has by now."""
    config = yaml.safe_load(up.stack.outputs(secrets=True)["kubeconfig"])
    config["clusters"][0]["cluster"] |= {
        "server": f"https://{up.control_plane()['publicIp']}:6443",
        "tls-server-name": "control-plane.tinderbox.internal",
    }
    return yaml.safe_dump(config)


def _choose(up: Up, number: int) -> None:
    up.configure({"nodes": {"controlPlanes": number, "count": number + 1}})


def _assert_right(up: Up, number: int) -> None:
    """There are so many, and nothing else; an update has nothing to do."""
    assert len(_control_planes(up)) == number
    assert _members(up) == {node["hostName"]: "started" for node in _control_planes(up)}
    assert up.ready() == up.hosts()
    assert {node["metadata"]["name"] for node in up.get("nodes")["items"]} == up.hosts()
    endpoints = up.get("endpointslice", "kubernetes")["endpoints"]
    assert len(endpoints) == number
    assert up.changes() == {}


def _change(up: Up, number: int) -> None:
    """Another number, while an application runs that may not begin anew."""
    before = up.outputs()["nodes"]
    stay = [before[0], before[-1]]
    _choose(up, number)
    assert f"becomes {number}; " in up.pulumi("preview")
    slow = Slow(up, tasks=40, seconds=3, waits=True)
    slow.wait_for_tasks(2)
    drivers = slow.drivers()
    ran = set(pods(up, "app.kubernetes.io/name=spark", "Running"))
    with Watch(up, _of_the_first(up)) as watch:
        up.pulumi("up", "--yes", "--skip-preview")
    assert watch.away <= AWAY
    print(f"{number} control planes: the API was away for {watch.away:.1f} s")
    _assert_right(up, number)
    after = up.outputs()["nodes"]
    assert [after[0], after[-1]] == stay
    assert slow.drivers() == drivers
    assert ran <= set(pods(up, "app.kubernetes.io/name=spark", "Running"))
    slow.assert_right()
    slow.delete()


def test_one_stays_of_three(up: Up):
    """The first of them was made anew above, and joined."""
    _change(up, 1)
    assert not aws_client("elbv2").describe_load_balancers()["LoadBalancers"]


def test_more_that_came_halfway_leave_again(up: Up):
    _choose(up, 3)
    up.interrupted("control-plane-2-keeper creating")
    assert len(_members(up)) == 2
    _choose(up, 1)
    up.pulumi("up", "--yes", "--skip-preview")
    _assert_right(up, 1)


def test_one_becomes_three(up: Up):
    _change(up, 3)
    (name,) = re.findall(r"^(\S+\.snapshot), ", up.make("backup"), re.M)
    assert name
