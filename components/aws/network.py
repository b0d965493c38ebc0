"""NetworkStack: a VPC with DNS, one public subnet, security groups that open only what is needed.

            internet gateway
                   |
VPC ── route table ── public subnet ── security groups ── nodes, shared file system

Nodes and the file system are in one group, control planes in a second one besides: they alone are
reached from outside, and workers through the first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from components.settings import NetworkSettings, SettingsError


class Group(StrEnum):
    """A security group, by who is in it."""

    NODES = "nodes"  # all of them, and the shared file system
    CONTROL_PLANE = "control plane"


@dataclass(frozen=True)
class Opening:
    """Who may send what to a member of a security group: an IPv4 range, or a group's members."""

    name: str
    protocol: str  # "tcp" or "udp"
    port: int
    source: Group | str
    to: Group
    reason: str


#: The ways between several control planes.
PEERS = tuple(
    Opening(name, "tcp", port, Group.CONTROL_PLANE, Group.CONTROL_PLANE, reason)
    for name, port, reason in (
        ("etcd-clients", 2379, "etcd, for a control plane that joins"),
        ("etcd-peers", 2380, "etcd between control planes"),
    )
)


def openings(operator_cidr: str) -> list[Opening]:
    """Every way into a node, besides PEERS; what is not here is closed."""
    operator, first, all_ = operator_cidr, Group.CONTROL_PLANE, Group.NODES
    return [
        Opening("operator-ssh", "tcp", 22, operator, first, "SSH for the operator"),
        Opening("operator-api", "tcp", 6443, operator, first, "Kubernetes API for the operator"),
        Opening("control-plane-ssh", "tcp", 22, first, all_, "SSH that leads on to workers"),
        Opening("nodes-api", "tcp", 6443, all_, all_, "Kubernetes API between nodes"),
        Opening(
            "nodes-kubelet", "tcp", 10250, all_, all_, "kubelet, for the API and metrics-server"
        ),
        Opening("nodes-vxlan", "udp", 8472, all_, all_, "flannel: the traffic between pods"),
        Opening("nodes-nfs", "tcp", 2049, all_, all_, "the shared file system"),
    ]


def public_subnet(vpc_cidr: str) -> str:
    """The first /20 of the VPC's range, or all of a range that is not larger than that."""
    vpc = ipaddress.IPv4Network(vpc_cidr)
    return str(next(vpc.subnets(new_prefix=max(vpc.prefixlen, 20))))


class NetworkOutputs(TypedDict):
    """What NetworkStack registers."""

    vpcId: pulumi.Output[str]
    internetGatewayId: pulumi.Output[str]
    subnetId: pulumi.Output[str]
    securityGroupId: pulumi.Output[str]
    controlPlaneGroupId: pulumi.Output[str]


@dataclass
class NetworkArgs:
    """The settings that count here, and the availability zone of the subnet.

    has_peers: there are several control planes.
    """

    settings: NetworkSettings
    zone: str
    has_peers: bool = False


class NetworkStack(pulumi.ComponentResource):
    """The network of one cluster.

    Outputs: vpc_id, internet_gateway_id, subnet_id, security_group_id (of all nodes and the file
    system), control_plane_group_id, peer_group_id (the same, once control planes reach each other).
    """

    vpc_id: pulumi.Output[str]
    internet_gateway_id: pulumi.Output[str]
    subnet_id: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    control_plane_group_id: pulumi.Output[str]
    peer_group_id: pulumi.Output[str]

    def __init__(
        self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tinderbox:index:NetworkStack", name, {}, opts)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)

        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args.settings.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags={"Name": f"{name}-vpc"},
            # Another range would be another network, with other nodes in it: `stays` refuses it.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["cidrBlock"]),
        )
        gateway = aws.ec2.InternetGateway(
            f"{name}-gateway",
            vpc_id=vpc.id,
            tags={"Name": f"{name}-gateway"},
            opts=self._child,
        )
        subnet, way_out = self._create_public_subnet(vpc, gateway, args)
        groups = {
            Group.NODES: self._create_group(
                f"{name}-nodes", vpc, "Nodes of the Kubernetes cluster"
            ),
            Group.CONTROL_PLANE: self._create_group(
                f"{name}-control-plane-group", vpc, "What is reached from outside"
            ),
        }
        operator_cidr = args.settings.operator_cidr
        assert operator_cidr is not None, "Settings asks for it wherever a network is made"
        rules = self._create_rules(groups, openings(operator_cidr))
        # The first control plane does not wait for these: they may come when it is there already.
        between = self._create_ways_in(groups, PEERS if args.has_peers else ())

        def stays(cidr: str) -> None:
            if cidr != args.settings.cidr:
                wanted = f"{cidr} in this cluster: set it back, or make destroy and make up anew"
                raise SettingsError("network.cidr", args.settings.cidr, wanted)

        vpc.cidr_block.apply(stays)
        self.vpc_id = vpc.id
        self.internet_gateway_id = gateway.id
        # Whoever uses the subnet or a group needs the way out and the rules as well; an id that
        # is known only when they exist says so without a word about it elsewhere.
        self.subnet_id = _after(subnet.id, way_out)
        self.security_group_id = _after(groups[Group.NODES].id, rules)
        self.control_plane_group_id = _after(groups[Group.CONTROL_PLANE].id, rules)
        self.peer_group_id = _after(self.control_plane_group_id, between)
        outputs: NetworkOutputs = {
            "vpcId": self.vpc_id,
            "internetGatewayId": self.internet_gateway_id,
            "subnetId": self.subnet_id,
            "securityGroupId": self.security_group_id,
            "controlPlaneGroupId": self.control_plane_group_id,
        }
        self.register_outputs(dict(outputs))

    def _create_public_subnet(
        self, vpc: aws.ec2.Vpc, gateway: aws.ec2.InternetGateway, args: NetworkArgs
    ) -> tuple[aws.ec2.Subnet, list[pulumi.CustomResource]]:
        """The subnet, and what makes it public."""
        subnet = aws.ec2.Subnet(
            f"{self._name}-subnet",
            vpc_id=vpc.id,
            cidr_block=public_subnet(args.settings.cidr),
            availability_zone=args.zone,
            map_public_ip_on_launch=True,
            tags={"Name": f"{self._name}-subnet"},
            # Another zone that comes to offer the type must not move a cluster that stands.
            opts=pulumi.ResourceOptions(
                parent=self, ignore_changes=["availabilityZone", "cidrBlock"]
            ),
        )
        table = aws.ec2.RouteTable(
            f"{self._name}-routes",
            vpc_id=vpc.id,
            tags={"Name": f"{self._name}-routes"},
            opts=self._child,
        )
        default_route = aws.ec2.Route(
            f"{self._name}-default-route",
            route_table_id=table.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=self._child,
        )
        association = aws.ec2.RouteTableAssociation(
            f"{self._name}-routes-of-subnet",
            route_table_id=table.id,
            subnet_id=subnet.id,
            opts=self._child,
        )
        return subnet, [default_route, association]

    def _create_group(self, name: str, vpc: aws.ec2.Vpc, description: str) -> aws.ec2.SecurityGroup:
        return aws.ec2.SecurityGroup(
            name, vpc_id=vpc.id, description=description, tags={"Name": name}, opts=self._child
        )

    def _create_rules(
        self, groups: Mapping[Group, aws.ec2.SecurityGroup], ways_in: Sequence[Opening]
    ) -> list[pulumi.CustomResource]:
        """What may come into the groups, and that their members may call out."""
        rules = self._create_ways_in(groups, ways_in)
        rules.append(
            aws.vpc.SecurityGroupEgressRule(
                f"{self._name}-to-anywhere",
                security_group_id=groups[Group.NODES].id,
                ip_protocol="-1",
                cidr_ipv4="0.0.0.0/0",
                description="Packages and images; answers need no rule",
                tags={"Name": f"{self._name}-to-anywhere"},
                opts=self._child,
            )
        )
        return rules

    def _create_ways_in(
        self, groups: Mapping[Group, aws.ec2.SecurityGroup], ways_in: Sequence[Opening]
    ) -> list[pulumi.CustomResource]:
        rules: list[pulumi.CustomResource] = []
        for opening in ways_in:
            of_group = isinstance(opening.source, Group)
            rules.append(
                aws.vpc.SecurityGroupIngressRule(
                    f"{self._name}-from-{opening.name}",
                    security_group_id=groups[opening.to].id,
                    ip_protocol=opening.protocol,
                    from_port=opening.port,
                    to_port=opening.port,
                    cidr_ipv4=None if of_group else opening.source,
                    referenced_security_group_id=groups[opening.source].id if of_group else None,
                    description=opening.reason,
                    tags={"Name": f"{self._name}-from-{opening.name}"},
                    opts=self._child,
                )
            )
        return rules


def _after(value: pulumi.Output[str], resources: list[pulumi.CustomResource]) -> pulumi.Output[str]:
    """The value, known once the resources exist."""
    return pulumi.Output.all(value, *[resource.id for resource in resources]).apply(
        lambda known: known[0]
    )
