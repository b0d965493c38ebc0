"""What the API says there should be: read from its answers, as plain values.

    describe_* answers ──> Instance, Balancer + Firewall rules of their security groups

Only instances that have or may get a machine are read; terminated ones are as good as gone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Instances in these states have a machine, running or not.
STATES = ("pending", "running", "stopping", "stopped")
#: With this begins what AWS calls the interface of a network load balancer.
BALANCERS = "ELB "


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


@dataclass(frozen=True, kw_only=True)
class Interface:
    """What has an address in a subnet, with all that its network needs."""

    id: str
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


@dataclass(frozen=True, kw_only=True)
class Instance(Interface):
    """An instance."""

    name: str
    type: str
    state: str
    key_name: str | None

    @property
    def runs(self) -> bool:
        """Whether the machine is to run."""
        return self.state in ("pending", "running")


@dataclass(frozen=True, order=True)
class Target:
    """Where a load balancer leads to."""

    address: str
    port: int


@dataclass(frozen=True)
class Check:
    """How it is seen that a target is well. Seconds, and how many looks in a row count."""

    protocol: str  # TCP, HTTP or HTTPS
    path: str
    interval: int
    timeout: int
    healthy: int
    unhealthy: int


@dataclass(frozen=True)
class Listener:
    """A port of a load balancer."""

    port: int
    targets: tuple[Target, ...]
    check: Check


@dataclass(frozen=True, kw_only=True)
class Balancer(Interface):
    """A network load balancer."""

    listeners: tuple[Listener, ...]


@dataclass
class Places:
    """The network's part of the API's answers: the lists inside of boto3's responses.

    interfaces: those of load balancers.
    """

    subnets: Iterable[Mapping[str, Any]] = ()
    vpcs: Iterable[Mapping[str, Any]] = ()
    groups: Iterable[Mapping[str, Any]] = ()
    interfaces: Iterable[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        self._subnet_ranges = {one["SubnetId"]: one["CidrBlock"] for one in self.subnets}
        self._vpc_ranges = {one["VpcId"]: one["CidrBlock"] for one in self.vpcs}
        self._by_id = {group["GroupId"]: group for group in self.groups}
        self._members: dict[str, list[str]] = {}
        for interface in self.interfaces:
            self.add(_groups_of([interface]), interface["PrivateIpAddress"])

    def add(self, groups: Iterable[str], address: str) -> None:
        """An address is in these security groups."""
        for group in groups:
            self._members.setdefault(group, []).append(address)

    def of(self, one: Mapping[str, Any], groups: Iterable[str]) -> dict[str, Any]:
        """What an Interface has: of an instance or interface, and of its security groups."""

        def rules(key: str) -> tuple[Rule, ...]:
            held = [self._by_id[group] for group in groups if group in self._by_id]
            entries = [entry for group in held for entry in group.get(key, [])]
            return tuple(_rule(entry, self._members) for entry in entries)

        return {
            "address": one["PrivateIpAddress"],
            "vpc": one["VpcId"],
            "vpc_range": self._vpc_ranges[one["VpcId"]],
            "subnet_range": self._subnet_ranges[one["SubnetId"]],
            "check_source": one.get("SourceDestCheck", True),
            "ingress": rules("IpPermissions"),
            "egress": rules("IpPermissionsEgress"),
        }


def read(ec2: Any, elbv2: Any) -> tuple[tuple[Instance, ...], tuple[Balancer, ...]]:
    """Ask the API (boto3 clients) for all of it."""
    balancers = elbv2.describe_load_balancers()["LoadBalancers"]
    instances, places = _read_instances(ec2, balancers)
    return instances, _read_balancers(elbv2, balancers, places, instances)


def _read_instances(client: Any, balancers: list[Any]) -> tuple[tuple[Instance, ...], Places]:
    reservations = client.describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": list(STATES)}]
    )["Reservations"]
    found = [instance for reservation in reservations for instance in reservation["Instances"]]
    places = Places()
    if not (found or balancers):
        return (), places
    interfaces = client.describe_network_interfaces()["NetworkInterfaces"] if balancers else []
    places = Places(
        client.describe_subnets()["Subnets"],
        client.describe_vpcs()["Vpcs"],
        client.describe_security_groups()["SecurityGroups"],
        [one for one in interfaces if one.get("Description", "").startswith(BALANCERS)],
    )
    return parse(found, places), places


def parse(instances: Iterable[Mapping[str, Any]], places: Places) -> tuple[Instance, ...]:
    """Instances from the API's answers, oldest first."""
    instances = sorted(instances, key=lambda one: (str(one["LaunchTime"]), one["InstanceId"]))
    groups = {one["InstanceId"]: _groups_of(one.get("NetworkInterfaces", [])) for one in instances}
    for one in instances:
        places.add(groups[one["InstanceId"]], one["PrivateIpAddress"])
    return tuple(
        Instance(
            id=one["InstanceId"],
            name={tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}.get("Name", ""),
            type=one["InstanceType"],
            state=one["State"]["Name"],
            key_name=one.get("KeyName"),
            dns_name=one["PrivateDnsName"],
            mac=one["NetworkInterfaces"][0]["MacAddress"],
            public_address=one.get("PublicIpAddress"),
            **places.of(one, groups[one["InstanceId"]]),
        )
        for one in instances
    )


def _read_balancers(
    client: Any, balancers: list[Any], places: Places, instances: Iterable[Instance]
) -> tuple[Balancer, ...]:
    """Those that have an interface, in the first of their subnets."""
    addresses = {one.id: one.address for one in instances}
    by_name = {one["Description"]: one for one in places.interfaces}
    return tuple(
        Balancer(
            id=f"lb-{one['LoadBalancerArn'].rpartition('/')[2]}",
            dns_name=one["DNSName"],
            mac=interface["MacAddress"],
            public_address=interface.get("Association", {}).get("PublicIp"),
            listeners=_listeners(client, one["LoadBalancerArn"], addresses),
            **places.of(interface, _groups_of([interface])),
        )
        for one in balancers
        if (interface := by_name.get(interface_name(one["LoadBalancerArn"]))) is not None
    )


def interface_name(arn: str) -> str:
    """What AWS calls the interface of a load balancer."""
    return BALANCERS + arn.partition(":loadbalancer/")[2]


def _listeners(client: Any, arn: str, addresses: Mapping[str, str]) -> tuple[Listener, ...]:
    """addresses: of instances, by id."""
    found = client.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    made = []
    for one in sorted(found, key=lambda one: one["Port"]):
        group_arn = one["DefaultActions"][0]["TargetGroupArn"]
        (group,) = client.describe_target_groups(TargetGroupArns=[group_arn])["TargetGroups"]
        told = client.describe_target_health(TargetGroupArn=group_arn)["TargetHealthDescriptions"]
        targets = [
            Target(addresses[target["Target"]["Id"]], target["Target"]["Port"])
            for target in told
            if target["Target"]["Id"] in addresses
        ]
        check = Check(
            group["HealthCheckProtocol"],
            group.get("HealthCheckPath", ""),
            group["HealthCheckIntervalSeconds"],
            group["HealthCheckTimeoutSeconds"],
            group["HealthyThresholdCount"],
            group["UnhealthyThresholdCount"],
        )
        made.append(Listener(one["Port"], tuple(sorted(targets)), check))
    return tuple(made)


def _groups_of(interfaces: Iterable[Mapping[str, Any]]) -> list[str]:
    """The ids of the security groups of these interfaces, each once, in order."""
    found = [group["GroupId"] for interface in interfaces for group in interface["Groups"]]
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
