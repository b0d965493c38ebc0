"""The instances of nodes, as AWS says."""

from __future__ import annotations

import json
from typing import Any

from console.stack import ROOT
from localcloud.api.client import ec2_client
from tests.e2e.conftest import Up


def instances(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What AWS says of each node, by the node's name."""
    ids = [node["instanceId"] for node in nodes]
    found = ec2_client().describe_instances(InstanceIds=ids)["Reservations"]
    by_id = {one["InstanceId"]: one for reservation in found for one in reservation["Instances"]}
    return {node["name"]: by_id[node["instanceId"]] for node in nodes}


def states(nodes: list[dict[str, Any]]) -> list[str]:
    return [one["State"]["Name"] for one in instances(nodes).values()]


def is_as_aws_says(up: Up) -> None:
    """Outputs, inventory.json and state have the addresses that the nodes have now."""
    nodes = up.outputs()["nodes"]
    for name, instance in instances(nodes).items():
        node = next(node for node in nodes if node["name"] == name)
        assert node["publicIp"] == instance["PublicIpAddress"]
        assert node["privateIp"] == instance["PrivateIpAddress"]
    inventory = json.loads((ROOT / "inventory.json").read_text())
    assert inventory == up.outputs()["inventory"]
    assert [one["InstanceIp"] for one in inventory["Instances"]] == [n["publicIp"] for n in nodes]
    assert up.changes() == {}


def is_gone(instance: str) -> bool:
    """It has ended."""
    found = ec2_client().describe_instances(InstanceIds=[instance])["Reservations"]
    return found[0]["Instances"][0]["State"]["Name"] == "terminated"
