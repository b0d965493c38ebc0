"""Where the machines are: the AWS API, the network, the nodes."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from components.settings.group import Group
from components.settings.kinds import (
    LABELS,
    MAJORITY,
    SECRET,
    SWITCH,
    TAINTS,
    URL,
    ipv4_range,
    number,
    text,
    whole,
)

_DOCUMENTATION = [
    ipaddress.IPv4Network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
]

Region = Annotated[str, text("a region such as eu-central-1", r"[a-z]+(-[a-z]+)+-[1-9]")]
Url = Annotated[str, URL]
Secret = Annotated[str, SECRET]
InstanceType = Annotated[
    str, text("an EC2 instance type such as t3.medium", r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
]
Disk = Annotated[int, whole(10, 16384, "GiB")]
Price = Annotated[float, number(0.0001, 1000, "USD an hour")]


class AwsSettings(Group):
    """Where the AWS API is. Without keys the AWS credentials of the environment count."""

    region: Region | None = Field(None, description="the region; required for a cluster of its own")
    endpoint: Url | None = Field(
        None, description="another API than AWS's own, such as the local cloud's"
    )
    access_key: Secret | None = Field(
        None,
        repr=False,
        description="for that endpoint; without it the environment's credentials count",
    )
    secret_key: Secret | None = Field(None, repr=False, description="belongs to it")


class NetworkSettings(Group):
    """The VPC's range, and who may reach SSH and the Kubernetes API from outside."""

    # AWS takes VPCs of /16 to /28; below /24 a cluster that grows runs out of addresses.
    cidr: Annotated[str, ipv4_range("a range from /16 to /24", 16, 24)] = Field(
        "10.42.0.0/16", description="range of the VPC"
    )
    zone: (
        Annotated[str, text("a zone such as eu-central-1a", r"[a-z]+(-[a-z]+)+-[1-9][a-z]")] | None
    ) = Field(
        None,
        description="where all nodes go; without it the first that offers the type."
        " A cluster stays where it is",
    )
    operator_cidr: Annotated[str, ipv4_range("an IPv4 range", 0, 32)] | None = Field(
        None,
        description="who may reach SSH and the Kubernetes API; required for a cluster of its own",
    )

    @property
    def operator_is_a_placeholder(self) -> bool:
        """True for an address that is reserved for documentation, as Pulumi.dev.yaml ships one."""
        if self.operator_cidr is None:
            return False
        operator = ipaddress.IPv4Network(self.operator_cidr)
        return any(operator.subnet_of(reserved) for reserved in _DOCUMENTATION)


class NodesSettings(Group):
    """The machines; the first nodes are control planes, and without others they take work too."""

    # The smallest network that is taken has addresses for 250.
    count: Annotated[int, whole(1, 250)] = Field(
        3, description="of all; the first is the control plane, or so many as `nodes.controlPlanes`"
    )
    control_planes: Annotated[int, MAJORITY] = Field(
        1,
        description="with 3 or 5 any one may be lost ([how](docs/ha.md)), and there are more bills",
    )
    type: InstanceType = Field(
        "t3.medium",
        description="of x86_64 or arm64, at least 2 vCPU and 2 GiB; another one goes through the"
        " nodes one by one ([how](docs/upgrade.md#another-type))",
    )
    image: (
        Annotated[
            str,
            text("newest, or an AMI such as ami-0123456789abcdef0", r"newest|ami-[0-9a-f]{8,17}"),
        ]
        | None
    ) = Field(
        None,
        description="of workers: Debian 13's newest, or this one; where they have another they are"
        " made anew, one by one. Without it they keep theirs",
    )
    disk_gib: Disk = Field(20, description="root disk of each node")
    spot: Annotated[bool, SWITCH] = Field(
        False,
        description="buy workers as spot instances; those that are not are replaced one by one."
        " After AWS took one back: `pulumi up --refresh`",
    )
    price: Price | None = Field(None, description="of one node, for the cost analytics")
    spot_price: Price | None = Field(
        None,
        description="of one worker that is bought as a spot instance; without it `nodes.price`, and"
        " in bills first what `make prices` was told",
    )
    grow_to: Annotated[int, whole(2, 250)] | None = Field(
        None,
        description="how many nodes `make submit` with `--grow` may make of them"
        " ([how](docs/groups.md#more-for-one-application)); without it none",
    )

    @property
    def chosen_image(self) -> str | None:
        """The AMI that is named; None where the newest is meant."""
        return None if self.image == "newest" else self.image


class WorkersSettings(Group):
    """A group NAME of workers that are alike, beside those of `nodes`."""

    count: Annotated[int, whole(1, 249)] = Field(
        1, description="of workers of this group ([how](docs/groups.md))"
    )
    type: InstanceType | None = Field(
        None, description="without it `nodes.type`, and so with the next one"
    )
    disk_gib: Disk | None = Field(None, description="root disk of each of them")
    spot: Annotated[bool, SWITCH] = Field(False, description="buy them as spot instances")
    labels: Annotated[Mapping[str, str], LABELS] = Field(
        {}, description="of the nodes in Kubernetes"
    )
    taints: Annotated[tuple[str, ...], TAINTS] = Field(
        (), description="the same; pods come there that tolerate them"
    )
    price: Price | None = Field(
        None, description="of one of them; without it `nodes.price` where the type is `nodes.type`"
    )
    grow_to: Annotated[int, whole(1, 249)] | None = Field(
        None, description="as `nodes.growTo`, of this group"
    )


class MirrorSettings(Group):
    """URLs in place of the upstream hosts, for networks without internet access."""

    packages: Url | None = Field(
        None, description="in place of pkgs.k8s.io and download.docker.com"
    )
    registry: Url | None = Field(None, description="in place of the image registries")
    charts: Url | None = Field(None, description="in place of the chart repositories")
