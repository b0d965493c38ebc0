"""Nodes come and go by the setting alone, and an update that was interrupted goes on."""

from __future__ import annotations

from pathlib import Path

from localcloud.api.client import ec2_client
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import wait_for
from tests.seen import seen


def _nodes(up: Up) -> dict[str, str]:
    return {node["name"]: node["instanceId"] for node in up.outputs()["nodes"]}


def test_a_node_more_and_a_node_less(up: Up, settings_are_kept: None, tmp_path: Path):
    before = _nodes(up)
    up.configure({"nodes": {"count": len(before) + 1}})
    printed = up.interrupted(f"worker-{len(before)}-packages creating")
    assert "error" in printed
    up.stack.up(tmp_path / "events.jsonl")

    grown = _nodes(up)
    assert before.items() < grown.items()
    assert up.ready() == up.hosts()
    assert len(up.ready()) == len(before) + 1

    up.configure({"nodes": {"count": len(before)}})
    with seen("a node fewer"):
        printed = up.stack.pulumi("up", "--yes", "--skip-preview", own=True, capture=True)
    assert "cordoned" in printed  # it is drained before it goes
    assert _nodes(up) == before
    assert len(up.get("nodes")["items"]) == len(before)


def test_a_node_that_aws_took_away_is_made_anew(up: Up):
    """As a spot instance can be; by a refresh Pulumi hears of it."""
    before, counted = _nodes(up), up.outputs()["wordCount"]
    lost = next(name for name in before if name.endswith("worker-1"))
    ec2_client().terminate_instances(InstanceIds=[before[lost]])
    # As it is when a person comes to look.
    wait_for("the loss", lambda: len(up.ready()) < len(before))
    up.stack.pulumi("up", "--yes", "--skip-preview", "--refresh", own=True)
    after = _nodes(up)
    assert {name for name in before if after[name] != before[name]} == {lost}
    assert up.ready() == up.hosts()
    assert len(up.get("nodes")["items"]) == len(before)
    assert up.outputs()["wordCount"] == counted  # nothing ran again
    assert up.changes() == {}
