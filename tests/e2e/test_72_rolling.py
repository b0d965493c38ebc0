"""Nodes become another type, are bought another way and get a newer image: one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from localcloud.api.client import ec2_client
from localcloud.cloud import DEBIAN_OWNER
from localcloud.machines import machine
from tests.e2e.conftest import Up
from tests.e2e.instances import instances
from tests.e2e.meanwhile import Slow, Watch
from tests.seen import seen

WAS, WANTED = "t3.medium", "t3.large"
GIBIBYTE = 2**30


def _update(up: Up) -> tuple[str, Watch]:
    """An update: what it printed, and what the API told meanwhile."""
    began = time.monotonic()
    with Watch(up) as watch:
        printed = up.pulumi("up", "--yes", "--skip-preview")
    print(f"{time.monotonic() - began:.0f} s; API away {watch.away:.1f} s: {watch.cordoned}")
    return printed, watch


def _images() -> tuple[str, str]:
    """Debian's images of the local cloud: an older one and the newest."""
    found = ec2_client().describe_images(Owners=[DEBIAN_OWNER])["Images"]
    older, newest = sorted(found, key=lambda image: image["CreationDate"])
    return older["ImageId"], newest["ImageId"]


def _types(up: Up) -> dict[str, str]:
    """Of each node, by its label."""
    return {
        item["metadata"]["name"]: item["metadata"]["labels"]["node.kubernetes.io/instance-type"]
        for item in up.get("nodes")["items"]
    }


def _serves(up: Up) -> None:
    """All nodes are Ready and take pods, and nothing is left to do."""
    hosts = up.hosts()
    assert up.ready() == hosts
    items = up.get("nodes")["items"]
    assert {item["metadata"]["name"] for item in items} == hosts
    assert not [item for item in items if item["spec"].get("unschedulable")]
    assert up.changes() == {}


@pytest.fixture(scope="module", autouse=True)
def settings_are_kept(up: Up) -> Iterator[None]:
    """The stack as it was, after all of these."""
    yield
    up.set_back()


def _without_number(changed: dict[str, str]) -> dict[str, set[str]]:
    """Names after `worker-N-` or the stack's prefix, by what happens to them."""
    found: dict[str, set[str]] = {}
    for name, op in changed.items():
        short = name.removeprefix("tinderbox-local-").replace("worker-2", "worker-1")
        found.setdefault(op, set()).add(short)
    return found


def test_another_type_goes_from_node_to_node_while_an_application_runs(up: Up, slow: Slow):
    before, counted = up.outputs()["nodes"], up.outputs()["wordCount"]
    workers = {node["hostName"] for node in before if node["role"] == "worker"}
    up.configure({"nodes": {"type": WANTED}})
    assert _without_number(up.changes()) == {
        "update": {
            *("control-plane", "control-plane-init"),
            *("worker-1", "worker-1-member", "worker-1-return"),
            "opex",  # the analytics' nodes have a type as well
        }
    }
    assert f"{WAS} becomes {WANTED}, one node after the other" in up.pulumi("preview")

    with seen("another type of nodes"):
        _, watch = _update(up)
    # One after the other, and all of them take pods again.
    assert {name for names in watch.cordoned for name in names} == workers
    assert max(len(names) for names in watch.cordoned) == 1
    after = up.outputs()["nodes"]
    same = ("name", "instanceId", "hostName", "privateIp")
    assert [[n[key] for key in same] for n in after] == [[n[key] for key in same] for n in before]
    assert after[0]["publicIp"] == before[0]["publicIp"]
    for one in instances(after).values():
        assert one["InstanceType"] == WANTED
        known = machine.record(one["InstanceId"])
        assert known is not None and known.memory == 8 * GIBIBYTE
    assert set(_types(up).values()) == {WANTED}
    slow.assert_right()
    assert up.outputs()["wordCount"] == counted
    _serves(up)


def test_workers_of_another_image_and_way_to_buy_take_the_place_of_the_old(up: Up, slow: Slow):
    before, (older, _) = up.outputs()["nodes"], _images()
    up.configure({"nodes": {"image": older, "spot": True}})
    printed, watch = _update(up)
    after = up.outputs()["nodes"]
    assert after[0] == before[0]
    assert f"the control plane keeps its image {_images()[1]}; workers get {older}" in printed
    for node, was in zip(after[1:], before[1:], strict=True):
        assert node["name"] == was["name"] and node["instanceId"] != was["instanceId"]
        one = instances([node])[node["name"]]
        assert (one["ImageId"], one["InstanceLifecycle"]) == (older, "spot")
    # The old ones take no pods of each other, and were drained one after the other.
    hosts = {node["hostName"] for node in before[1:]}
    assert {name for names in watch.cordoned for name in names} == hosts
    assert watch.away < 30  # nothing restarts it
    slow.assert_right()
    _serves(up)


def test_the_newest_image_on_demand_and_of_the_former_type(up: Up):
    """Spot workers of another type are made anew, the control plane is stopped and started."""
    before, (_, newest) = up.outputs()["nodes"], _images()
    up.configure({"nodes": {"image": "newest", "spot": False, "type": WAS}})
    _update(up)
    after = up.outputs()["nodes"]
    assert after[0] == before[0]
    assert set(_types(up).values()) == {WAS}
    for one in instances(after).values():
        assert (one["ImageId"], one.get("InstanceLifecycle")) == (newest, None)
    _serves(up)
    up.configure({"nodes": {"image": None}})
    assert up.changes() == {}


def test_a_type_that_the_zone_lacks_and_an_image_that_is_none_are_refused(up: Up):
    up.configure({"nodes": {"image": "ami-00000000"}})
    assert "nodes.image is 'ami-00000000'; it must be newest" in up.pulumi("preview", fails=True)
    up.configure({"nodes": {"image": None}})
    assert up.changes() == {}
