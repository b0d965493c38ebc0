"""Spot workers can't be stopped: they go with `make stop`, and others come with `make start`."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Up
from tests.e2e.instances import instances, is_as_aws_says, states


def test_spot_workers_are_let_go_and_come_back(up: Up, settings_are_kept: None, tmp_path: Path):
    up.configure({"nodes": {"spot": True}})
    up.stack.up(tmp_path / "events.jsonl")  # all workers are replaced
    before = up.outputs()["nodes"]
    for name, one in instances(before[1:]).items():
        assert one["InstanceLifecycle"] == "spot", name

    printed = up.make("stop")
    assert all(f"{node['name']} is let go (spot)" in printed for node in before[1:])
    assert states(before) == ["stopped", *["terminated"] * len(before[1:])]
    up.make("start")
    after = up.outputs()["nodes"]
    assert [n["name"] for n in after] == [n["name"] for n in before]
    assert after[0]["instanceId"] == before[0]["instanceId"]
    assert {n["instanceId"] for n in after[1:]}.isdisjoint(n["instanceId"] for n in before)
    assert up.ready() == up.hosts()
    is_as_aws_says(up)
