"""Reading the API's answers: instances, their network, and rules with groups made addresses."""

from __future__ import annotations

from typing import Any

from localcloud.api import wanted
from localcloud.api.wanted import Places, Rule


def instance(number: int, groups: list[str], **more: Any) -> dict[str, Any]:
    address = f"10.42.0.{number}"
    return {
        "InstanceId": f"i-{number:017x}",
        "LaunchTime": f"2026-01-01T00:00:{number:02}",
        "InstanceType": "t3.medium",
        "State": {"Name": "running"},
        "PrivateIpAddress": address,
        "PrivateDnsName": f"ip-10-42-0-{number}.eu-central-1.compute.internal",
        "VpcId": "vpc-1",
        "SubnetId": "subnet-1",
        "NetworkInterfaces": [
            {"MacAddress": "02:00:00:00:00:01", "Groups": [{"GroupId": id} for id in groups]}
        ],
        **more,
    }


SUBNETS = [{"SubnetId": "subnet-1", "CidrBlock": "10.42.16.0/20"}]
VPCS = [{"VpcId": "vpc-1", "CidrBlock": "10.42.0.0/16"}]


def permission(protocol: str, first: int, last: int, *ranges: str, groups: tuple[str, ...] = ()):
    return {
        "IpProtocol": protocol,
        "FromPort": first,
        "ToPort": last,
        "IpRanges": [{"CidrIp": range_} for range_ in ranges],
        "UserIdGroupPairs": [{"GroupId": group} for group in groups],
    }


def ingress_of(*permissions: dict[str, Any]) -> tuple[Rule, ...]:
    group = {"GroupId": "sg-1", "IpPermissions": list(permissions)}
    (one,) = wanted.parse([instance(5, ["sg-1"])], Places(SUBNETS, VPCS, [group]))
    return one.ingress


def test_an_instance_knows_its_router_and_its_resolver() -> None:
    (one,) = wanted.parse([instance(5, [])], Places(SUBNETS, VPCS, []))
    assert (one.router, one.prefix, one.resolver) == ("10.42.16.1", 20, "10.42.0.2")


def test_the_name_is_the_tag_and_the_public_address_may_be_missing() -> None:
    tags = [{"Key": "other", "Value": "x"}, {"Key": "Name", "Value": "node-0"}]
    (one,) = wanted.parse([instance(5, [], Tags=tags)], Places(SUBNETS, VPCS, []))
    assert (one.name, one.public_address) == ("node-0", None)


def test_a_group_that_a_rule_names_becomes_its_members_addresses() -> None:
    groups = [
        {"GroupId": "sg-1", "IpPermissions": [permission("tcp", 6443, 6443, groups=("sg-2",))]},
        {"GroupId": "sg-2", "IpPermissions": []},
    ]
    found = wanted.parse(
        [instance(7, ["sg-2"]), instance(5, ["sg-1"]), instance(6, ["sg-2"])],
        Places(SUBNETS, VPCS, groups),
    )
    assert [one.address for one in found] == ["10.42.0.5", "10.42.0.6", "10.42.0.7"]  # oldest first
    assert found[0].ingress == (Rule("tcp", 6443, 6443, ("10.42.0.6", "10.42.0.7")),)
    assert found[1].ingress == ()


def test_rules_of_all_groups_of_an_instance_count_each_group_once() -> None:
    groups = [
        {"GroupId": "sg-1", "IpPermissions": [permission("tcp", 22, 22, "10.43.0.1/32")]},
        {"GroupId": "sg-2", "IpPermissions": [permission("udp", 53, 53, "10.0.0.0/8")]},
    ]
    (one,) = wanted.parse([instance(5, ["sg-1", "sg-2", "sg-1"])], Places(SUBNETS, VPCS, groups))
    assert [rule.protocol for rule in one.ingress] == ["tcp", "udp"]


def test_protocol_minus_one_is_all_without_ports() -> None:
    assert ingress_of(permission("-1", -1, -1, "0.0.0.0/0")) == (
        Rule("all", None, None, ("0.0.0.0/0",)),
    )


def test_protocols_by_number_are_named() -> None:
    assert [rule.protocol for rule in ingress_of(*(permission(p, 1, 2, "10.0.0.0/8") for p in
            ("6", "17", "1", "50")))] == ["tcp", "udp", "icmp", "50"]  # fmt: skip


def test_icmp_of_any_type_and_of_one_type_with_any_code() -> None:
    any_type, echo = ingress_of(
        permission("icmp", -1, -1, "10.0.0.0/8"), permission("icmp", 8, -1, "10.0.0.0/8")
    )
    assert (any_type.first, any_type.last) == (None, None)
    assert (echo.first, echo.last) == (8, None)
