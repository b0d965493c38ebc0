"""What the API says there should be: read from its answers, as plain values.

    describe_* answers ──> Wanted: Instance + Firewall rules of its security groups

Only instances that have or may get a machine are read; terminated ones are as good as gone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Instances in these states have a machine, running or not.
STATES = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True)
class Rule:
    """An opening of a security group.

    `protocol` is "tcp", "udp", "icmp", "all" or a number; `first` and `last` are ports (icmp: type
    and code), None for any; `peers` are IPv4 ranges or addresses.
    """

    protocol: str
    first: int | None
    last: int | None
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Instance:
    """An instance, with all of its network that a machine needs."""

    id: str
    name: str
    type: str
    state: str
    key_name: str | None
    address: str  # private IPv4
    dns_name: str  # ip-10-42-0-5.eu-central-1.compute.internal
    mac: str
    public_address: str | None
    vpc: str
    vpc_range: str  # 10.42.0.0/16
    subnet_range: str  # 10.42.0.0/20
    check_source: bool
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]

    @property
    def runs(self) -> bool:
        """Whether the machine is to run."""
        return self.state in ("pending", "running")

    @property
    def router(self) -> str:
        """The subnet's router, the first address of its range."""
        return str(ipaddress.IPv4Network(self.subnet_range)[1])

    @property
    def prefix(self) -> int:
        """The subnet's prefix length."""
        return ipaddress.IPv4Network(self.subnet_range).prefixlen

    @property
    def resolver(self) -> str:
        """The VPC's resolver, the third address of its range (base + 2), as on AWS."""
        return str(ipaddress.IPv4Network(self.vpc_range)[2])


def read(client: Any) -> tuple[Instance, ...]:
    """Ask the API (a boto3 EC2 client) for all of it."""
    reservations = client.describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": list(STATES)}]
    )["Reservations"]
    found = [instance for reservation in reservations for instance in reservation["Instances"]]
    if not found:
        return ()
    return parse(
        found,
        client.describe_subnets()["Subnets"],
        client.describe_vpcs()["Vpcs"],
        client.describe_security_groups()["SecurityGroups"],
    )


def parse(
    instances: Iterable[Mapping[str, Any]],
    subnets: Iterable[Mapping[str, Any]],
    vpcs: Iterable[Mapping[str, Any]],
    groups: Iterable[Mapping[str, Any]],
) -> tuple[Instance, ...]:
    """Instances from the API's answers (the lists inside of boto3's responses), oldest first."""
    instances = sorted(instances, key=lambda one: (str(one["LaunchTime"]), one["InstanceId"]))
    subnet_ranges = {subnet["SubnetId"]: subnet["CidrBlock"] for subnet in subnets}
    vpc_ranges = {vpc["VpcId"]: vpc["CidrBlock"] for vpc in vpcs}
    by_id = {group["GroupId"]: group for group in groups}
    members: dict[str, list[str]] = {}
    for instance in instances:
        for group in _groups_of(instance):
            members.setdefault(group, []).append(instance["PrivateIpAddress"])

    def rules(instance: Mapping[str, Any], key: str) -> tuple[Rule, ...]:
        held = [by_id[group] for group in _groups_of(instance) if group in by_id]
        return tuple(_rule(entry, members) for group in held for entry in group.get(key, []))

    return tuple(
        Instance(
            id=one["InstanceId"],
            name={tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}.get("Name", ""),
            type=one["InstanceType"],
            state=one["State"]["Name"],
            key_name=one.get("KeyName"),
            address=one["PrivateIpAddress"],
            dns_name=one["PrivateDnsName"],
            mac=one["NetworkInterfaces"][0]["MacAddress"],
            public_address=one.get("PublicIpAddress"),
            vpc=one["VpcId"],
            vpc_range=vpc_ranges[one["VpcId"]],
            subnet_range=subnet_ranges[one["SubnetId"]],
            check_source=one.get("SourceDestCheck", True),
            ingress=rules(one, "IpPermissions"),
            egress=rules(one, "IpPermissionsEgress"),
        )
        for one in instances
    )


def _groups_of(instance: Mapping[str, Any]) -> list[str]:
    """The ids of the security groups of the instance's interfaces, each once, in order."""
    found = [
        group["GroupId"]
        for interface in instance.get("NetworkInterfaces", [])
        for group in interface["Groups"]
    ]
    return list(dict.fromkeys(found))


def _rule(entry: Mapping[str, Any], members: Mapping[str, list[str]]) -> Rule:
    """A rule from an IpPermission; a group that it refers to becomes its members' addresses."""
    peers = [range_["CidrIp"] for range_ in entry.get("IpRanges", [])]
    for pair in entry.get("UserIdGroupPairs", []):
        peers += members.get(pair.get("GroupId", ""), [])
    protocol = {"-1": "all", "6": "tcp", "17": "udp", "1": "icmp"}.get(
        entry["IpProtocol"], entry["IpProtocol"]
    )
    first, last = entry.get("FromPort"), entry.get("ToPort")
    if protocol == "all" or first == -1:
        first = last = None
    elif last == -1:
        last = None
    return Rule(protocol, first, last, tuple(sorted(set(peers))))
