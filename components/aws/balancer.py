"""ApiBalancer: the addresses of the Kubernetes API that outlive any of several control planes.

    the operator ── Elastic IP ── public load balancer ──┐
                                                         ├── control planes, 6443
    workers ───── its name in the VPC ── internal one ───┘

Two, since a load balancer that faces the internet is known by public addresses only, inside the VPC
as well, and nobody may open it for addresses that workers get anew at each start. Both are in the
groups of nodes: what lets the operator and nodes in to a control plane, lets them in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.aws.network import NetworkStack
from components.node import Node

_PORT = 6443
# AWS takes names of 32 characters; the rest of it is random.
_NAME = "api-"


class BalancerOutputs(TypedDict):
    """What ApiBalancer registers."""

    address: pulumi.Output[str]
    inside: pulumi.Output[str]


@dataclass
class BalancerArgs:
    """The network that they are in."""

    network: NetworkStack


class ApiBalancer(pulumi.ComponentResource):
    """The load balancers of one cluster.

    Outputs: address (public, of the operator's), inside (a name that the VPC's resolver knows).
    """

    address: pulumi.Output[str]
    inside: pulumi.Output[str]

    def __init__(
        self, name: str, args: BalancerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:ApiBalancer", name, {}, opts)
        self._network = args.network
        self._child = pulumi.ResourceOptions(parent=self)
        elastic = aws.ec2.Eip(
            f"{name}-api-address",
            domain="vpc",
            tags={"Name": f"{name}-api"},
            opts=self._child,
        )
        public = self._create(
            f"{name}-api-public",
            [args.network.security_group_id, args.network.control_plane_group_id],
            elastic.id,
        )
        inside = self._create(f"{name}-api-inside", [args.network.security_group_id])
        self._targets = {
            "public": self._listen(f"{name}-api-public", public),
            "inside": self._listen(f"{name}-api-inside", inside),
        }
        self.address = self._once_it_listens("public", elastic.public_ip)
        self.inside = self._once_it_listens("inside", inside.dns_name)
        outputs: BalancerOutputs = {"address": self.address, "inside": self.inside}
        self.register_outputs(dict(outputs))

    def _create(
        self,
        name: str,
        groups: Sequence[pulumi.Input[str]],
        address: pulumi.Input[str] | None = None,
    ) -> aws.lb.LoadBalancer:
        """address: the Elastic IP's id of one for the operator; none for the one inside."""
        mapping = aws.lb.LoadBalancerSubnetMappingArgs(
            subnet_id=self._network.subnet_id, allocation_id=address
        )
        return aws.lb.LoadBalancer(
            name,
            name_prefix=_NAME,
            load_balancer_type="network",
            internal=address is None,
            security_groups=groups,
            subnet_mappings=[mapping],
            tags={"Name": name},
            opts=self._child,
        )

    def _once_it_listens(self, side: str, known: pulumi.Output[str]) -> pulumi.Output[str]:
        """What is known when somebody listens there, not before."""
        return pulumi.Output.all(known, self._targets[side].arn).apply(lambda both: both[0])

    def _listen(self, name: str, balancer: aws.lb.LoadBalancer) -> aws.lb.TargetGroup:
        """What it leads on to: the control planes that are ready, by their own word."""
        targets = aws.lb.TargetGroup(
            f"{name}-targets",
            name_prefix=_NAME,
            port=_PORT,
            protocol="TCP",
            target_type="instance",
            vpc_id=self._network.vpc_id,
            # With the client's own address a control plane could not reach itself through it.
            preserve_client_ip="false",
            # One that goes is asked nothing more, and says so at once.
            deregistration_delay=5,
            connection_termination=True,
            # As short as AWS has them: away for two looks is away.
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                protocol="HTTPS",
                path="/readyz",
                interval=5,
                timeout=2,
                healthy_threshold=2,
                unhealthy_threshold=2,
            ),
            tags={"Name": f"{name}-targets"},
            opts=self._child,
        )
        aws.lb.Listener(
            f"{name}-listener",
            load_balancer_arn=balancer.arn,
            port=_PORT,
            protocol="TCP",
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(type="forward", target_group_arn=targets.arn)
            ],
            tags={"Name": f"{name}-listener"},
            opts=self._child,
        )
        return targets

    def lead_to(self, node: Node, after: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        """The node is one of those that answer, once these resources are there."""
        return [
            aws.lb.TargetGroupAttachment(
                f"{node.name}-api-{side}",
                target_group_arn=targets.arn,
                target_id=node.instance_id,
                port=_PORT,
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
            )
            for side, targets in self._targets.items()
        ]
