"""One control plane becomes three, and three become one, on a cluster that works on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localcloud.api.client import aws_client, ec2_client
from tests.e2e.conftest import Up
from tests.e2e.instances import is_gone
from tests.e2e.meanwhile import Slow, Watch, pods, wait_for
from tests.e2e.peers import AWAY, choose, control_planes, made_with, members
from tests.seen import seen

SPARK = "app.kubernetes.io/name=spark"


@pytest.fixture(scope="module")
def up(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack of one control plane and a worker."""
    with made_with(1, text, tmp_path_factory.mktemp("up")) as made:
        yield made


def _of_the_first(up: Up) -> str:
    """A kubeconfig of the first one's own address, whatever names its certificate has by now."""
    config = yaml.safe_load(up.stack.outputs(secrets=True)["kubeconfig"])
    config["clusters"][0]["cluster"] |= {
        "server": f"https://{up.control_plane()['publicIp']}:6443",
        "tls-server-name": "control-plane.tinderbox.internal",
    }
    return yaml.safe_dump(config)


def _assert_right(up: Up, number: int) -> None:
    """There are so many, and nothing else; an update has nothing to do."""
    assert len(control_planes(up)) == number
    assert members(up) == {node["hostName"]: "started" for node in control_planes(up)}
    assert up.ready() == up.hosts()
    assert {node["metadata"]["name"] for node in up.get("nodes")["items"]} == up.hosts()
    (served,) = up.get("endpointslice", "--field-selector", "metadata.name=kubernetes")["items"]
    addresses = {address for one in served["endpoints"] for address in one["addresses"]}
    assert addresses == {node["privateIp"] for node in control_planes(up)}
    balancers = aws_client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert len(balancers) == (2 if number > 1 else 0)
    assert up.changes() == {}


def _change(up: Up, number: int, title: str) -> None:
    """Another number, while an application runs that may not begin anew."""
    before = up.outputs()["nodes"]
    choose(up, number)
    assert f"becomes {number}; " in up.pulumi("preview")
    slow = Slow(up, tasks=40, seconds=3, waits=True)
    slow.wait_for_tasks(2)
    driver, ran = slow.driver(), set(pods(up, SPARK, "Running"))
    with Watch(up, _of_the_first(up)) as watch, seen(title):
        up.pulumi("up", "--yes", "--skip-preview")
    print(f"{number} control planes: the API was away for {watch.away:.1f} s")
    assert watch.away <= AWAY
    _assert_right(up, number)
    # The first one and the worker are what they were, with all that ran there.
    after = up.outputs()["nodes"]
    assert [after[0], after[-1]] == [before[0], before[-1]]
    assert slow.drivers() == [driver]
    assert ran <= set(pods(up, SPARK, "Running"))
    slow.assert_right()
    slow.delete()


def test_one_is_all_that_there_is(up: Up):
    _assert_right(up, 1)


def test_one_becomes_three(up: Up):
    _change(up, 3, "three control planes for one")


def test_it_may_be_one_that_was_made_anew_that_stays(up: Up):
    first = up.control_plane()["instanceId"]
    ec2_client().terminate_instances(InstanceIds=[first])
    wait_for("its end", lambda: is_gone(first))
    up.pulumi("refresh", "--yes", "--skip-preview")
    # While it is lost nobody else can be the one.
    choose(up, 1)
    assert "it would be the first one, which is lost" in up.pulumi("preview", fails=True)
    choose(up, 3)
    up.pulumi("up", "--yes", "--skip-preview")
    wait_for("all nodes", lambda: up.ready() == up.hosts())
    _assert_right(up, 3)


def test_three_become_one(up: Up):
    _change(up, 1, "one control plane for three")


def test_more_that_came_halfway_leave_again(up: Up):
    choose(up, 3)
    up.interrupted("control-plane-2-keeper creating")
    assert len(members(up)) == 2
    choose(up, 1)
    up.pulumi("up", "--yes", "--skip-preview")
    _assert_right(up, 1)
