"""Three control planes: one is killed, the API answers on, and `up` makes it good."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.api.client import aws_client, ec2_client
from tests.e2e.conftest import Up
from tests.e2e.instances import is_gone
from tests.e2e.meanwhile import Slow, wait_for
from tests.e2e.peers import AWAY, control_planes, made_with, members


@pytest.fixture(scope="module")
def up(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack of three control planes and a worker."""
    with made_with(3, text, tmp_path_factory.mktemp("up")) as made:
        yield made


def test_the_words_are_counted_and_all_are_members(up: Up, text: Path):
    up.assert_counted(text)
    assert members(up) == {node["hostName"]: "started" for node in control_planes(up)}
    assert up.ready() == up.hosts()
    assert up.changes() == {}


def test_a_snapshot_is_not_brought_back(up: Up):
    (name,) = re.findall(r"^(\S+\.snapshot), ", up.make("backup"), re.M)
    refused = up.make("restore", f"SNAPSHOT={name}", "YES=1", fails=True)
    assert "this cluster has 3 control planes" in refused


@pytest.mark.parametrize("place", [1, 0])
def test_one_is_killed_and_made_good(up: Up, place: int):
    before = control_planes(up)
    # It ends by itself: the way in by SSH may be what is killed.
    slow = Slow(up, tasks=30, seconds=3, retries=2)
    slow.wait_for_tasks(2)
    ec2_client().terminate_instances(InstanceIds=[before[place]["instanceId"]])
    wait_for("its end", lambda: is_gone(before[place]["instanceId"]))
    wait_for("the API", lambda: up.kubectl("get", "--raw", "/readyz", check=False) == "ok", AWAY)
    slow.assert_right()
    slow.delete()

    # As `make up REFRESH=1`, which would bring back the settings that the repo has.
    for verb in ("refresh", "up"):
        up.pulumi(verb, "--yes", "--skip-preview")
    after = control_planes(up)
    assert after[place]["instanceId"] != before[place]["instanceId"]
    assert members(up) == {node["hostName"]: "started" for node in after}
    wait_for("all nodes", lambda: up.ready() == up.hosts())
    assert {node["metadata"]["name"] for node in up.get("nodes")["items"]} == up.hosts()
    assert up.changes() == {}


def test_the_balancers_are_as_the_api_says(up: Up):
    balancers = aws_client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert sorted(one["Scheme"] for one in balancers) == ["internal", "internet-facing"]
