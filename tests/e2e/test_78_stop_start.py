"""A stack is stopped, says so, and is as it was once it is started."""

from __future__ import annotations

import re

from localcloud.host import cgroups
from localcloud.host.shell import wait_until
from tests.e2e.conftest import Up
from tests.e2e.instances import is_as_aws_says, states
from tests.seen import seen

SAID = "nodes of stack local are stopped; `make start STACK=local` starts them"


def test_a_stack_is_stopped_and_started(up: Up):
    nodes, counted = up.outputs()["nodes"], up.outputs()["wordCount"]
    worker = nodes[1]
    assert up.ssh(worker, "echo stays | sudo tee /etc/kept /srv/shared/kept").returncode == 0

    with seen("make stop"):
        printed = up.make("stop")
    assert states(nodes) == ["stopped"] * len(nodes)
    for node in nodes:
        assert f"{node['name']} is stopped" in printed
        assert wait_until(lambda id=node["instanceId"]: not cgroups.processes(id), 60)
    assert "An hour costs 0.0133 USD now, and cost 0.1673." in printed
    for verb, fails in (("status", False), ("preview", True), ("up", True)):
        assert f"{len(nodes)} of {len(nodes)} {SAID}" in up.make(verb, fails=fails)
    assert states(nodes) == ["stopped"] * len(nodes)

    with seen("make start"):
        printed = up.make("start")
    took = re.search(r"^Stack local is started: (\d+) s\.$", printed, re.M)
    assert took, printed
    after = up.outputs()["nodes"]
    same = ("name", "role", "instanceId", "hostName", "privateIp")
    assert [[n[key] for key in same] for n in after] == [[n[key] for key in same] for n in nodes]
    assert after[0]["publicIp"] == nodes[0]["publicIp"]
    assert {n["publicIp"] for n in after[1:]}.isdisjoint(n["publicIp"] for n in nodes)
    is_as_aws_says(up)
    assert up.ready() == up.hosts()
    # What was on its disks and on the shared volume; and it is reached as before.
    found = up.ssh(after[1], "cat /etc/kept /srv/shared/kept && sudo rm /etc/kept /srv/shared/kept")
    assert found.stdout == "stays\nstays\n"
    assert up.outputs()["wordCount"] == counted  # nothing ran again
    assert "2 of " in up.make("status")  # of Spark's workers, which make an application's result:
    assert "Pi is roughly 3.1" in up.make("submit", "APP=spark_jobs/pi.py", "ARGS=1000000")
