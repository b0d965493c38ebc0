"""`make up` is cut off at many points, and a plain call after them ends right."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from console.stack import ROOT
from localcloud.api.client import ec2_client
from tests.e2e.conftest import Up
from tests.faults import Fault
from tests.torture.cuts import cut_off

POINTS = (
    "local cloud: ",
    "ec2:Vpc tinderbox-local-vpc creating",
    "SecurityGroup tinderbox-local-nodes creating",
    "efs:MountTarget tinderbox-local-mount-target creating",
    "Instance tinderbox-local-control-plane creating",
    "control-plane-packages creating",
    "worker-1-packages creating",
    "control-plane-init creating",
    "worker-1-join creating",
    "v1:Namespace spark-namespace creating",
    "v3:Release spark creating",
    "v1:Job wordcount creating",
    r"v1:Job wordcount creating \([5-9]s\)",
)


def running() -> Counter[str]:
    """The names of instances that AWS has."""
    kept = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    found = ec2_client().describe_instances(Filters=kept)["Reservations"]
    return Counter(
        tag["Value"]
        for reservation in found
        for one in reservation["Instances"]
        for tag in one["Tags"]
        if tag["Key"] == "Name"
    )


def cut_and_finish(points: Sequence[str], text: Path, request: pytest.FixtureRequest) -> list[str]:
    """A first `make up` is cut off at these points, and the fixture's ends right; what was cut."""
    try:
        done = cut_off(["make", "up", f"INPUT={text}"], points)
    except BaseException:
        subprocess.run(["make", "destroy"], cwd=ROOT)
        raise
    fault = Fault(f"`make up` is killed or gets Ctrl-C, {len(done)} times in a row")
    up: Up = request.getfixturevalue("up")
    up.assert_counted(text)
    assert up.ready() == up.hosts()
    assert up.changes() == {}
    assert running() == Counter(node["name"] for node in up.outputs()["nodes"])
    assert "nothing of stack local" in up.make("sweep")
    fault.well("the next `make up` says what it found, and ends with the count")
    return done


def test_up_is_cut_off_at_many_points(text: Path, request: pytest.FixtureRequest):
    done = cut_and_finish(POINTS, text, request)
    assert len(done) >= 20, done
