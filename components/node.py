"""Node, Machine, Balancer: what the rest of the program knows of them, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pulumi
import pulumi_command as command

from components.settings.node_plan import NodePlan


@dataclass(frozen=True)
class Machine:
    """A kind of machine. architecture: as EC2 has it. zones: all that offer the type."""

    instance_type: str
    ami: str
    vcpus: int
    memory_mib: int
    zones: tuple[str, ...] = ()
    architecture: str = "x86_64"


@dataclass(frozen=True)
class Node:
    """One node: who it is, where it is, and how to reach it."""

    name: str
    role: str  # "control plane" or "worker"
    plan: NodePlan
    instance: pulumi.CustomResource
    machine: Machine
    zone: pulumi.Output[str]  # where it is
    address: pulumi.Output[str]  # public
    private_ip: pulumi.Output[str]
    host_name: pulumi.Output[str]  # the VPC's, and the node's in Kubernetes, too
    connection: command.remote.ConnectionArgs

    @property
    def instance_id(self) -> pulumi.Output[str]:
        """The instance's id: another one is another machine."""
        return self.instance.id

    def record(self) -> dict[str, Any]:
        """The node as the stack's output `nodes` shows it."""
        return {
            "name": self.name,
            "role": self.role,
            "instanceId": self.instance_id,
            "hostName": self.host_name,
            "privateIp": self.private_ip,
            "publicIp": self.address,
        }


class Balancer(Protocol):
    """What stands before several control planes.

    address: where the operator reaches the API. inside: its name for nodes.
    """

    address: pulumi.Output[str]
    inside: pulumi.Output[str]

    def lead_to(self, node: Node, after: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        """The node is one of those that answer, once these resources are there."""
        ...
