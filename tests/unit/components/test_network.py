"""NetworkStack: one public subnet, and security groups that open just what is needed."""

from __future__ import annotations

import ipaddress

import pytest

from components.aws.network import Group, openings, public_subnet
from tests.unit.plan import planned

NODES, ENTRANCE = "tinderbox-test-nodes-id", "tinderbox-test-control-plane-group-id"
OPERATOR = "198.18.0.1/32"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"


def test_just_these_ways_lead_into_a_node():
    rules = [rule.inputs for rule in planned().of(INGRESS)]
    assert {
        (rule["securityGroupId"], rule["ipProtocol"], rule["fromPort"], source(rule))
        for rule in rules
    } == {
        (ENTRANCE, "tcp", 22, OPERATOR),
        (ENTRANCE, "tcp", 6443, OPERATOR),
        (NODES, "tcp", 22, ENTRANCE),  # no node but the control plane gets into another
        (NODES, "tcp", 6443, NODES),  # API
        (NODES, "tcp", 10250, NODES),  # kubelet
        (NODES, "udp", 8472, NODES),  # flannel
        (NODES, "tcp", 2049, NODES),  # NFS
    }
    assert len(rules) == 7
    assert all(rule["fromPort"] == rule["toPort"] for rule in rules)


def source(rule: dict) -> str:
    """Where a rule lets traffic in from: a range, or the members of a group; never both."""
    assert ("cidrIpv4" in rule) != ("referencedSecurityGroupId" in rule)
    assert "cidrIpv6" not in rule
    return rule.get("cidrIpv4") or rule["referencedSecurityGroupId"]


def test_the_groups_themselves_open_nothing():
    groups = planned().of("aws:ec2/securityGroup:SecurityGroup")
    assert len(groups) == 2
    for group in groups:
        assert not {"ingress", "egress"} & set(group.inputs)


def test_only_the_control_plane_is_opened_and_to_the_operators_range_only():
    outside = [
        (opening.to, opening.port, opening.source)
        for opening in openings("192.0.2.0/28")
        if not isinstance(opening.source, Group)
    ]
    assert sorted(outside) == [
        (Group.CONTROL_PLANE, 22, "192.0.2.0/28"),
        (Group.CONTROL_PLANE, 6443, "192.0.2.0/28"),
    ]


def test_every_way_in_says_what_it_is_for():
    for rule in planned().of(INGRESS):
        assert rule.inputs["description"]


def test_nodes_may_call_out():
    (rule,) = planned().of(EGRESS)
    assert rule.inputs["securityGroupId"] == NODES
    assert (rule.inputs["ipProtocol"], rule.inputs["cidrIpv4"]) == ("-1", "0.0.0.0/0")


def test_the_vpc_gives_its_machines_names():
    vpc = planned({"network": {"cidr": "10.7.0.0/16"}}).one("vpc").inputs
    assert vpc["cidrBlock"] == "10.7.0.0/16"
    assert vpc["enableDnsHostnames"] is True
    assert vpc["enableDnsSupport"] is True


def test_the_subnet_is_public():
    plan = planned()
    subnet = plan.one("subnet").inputs
    assert subnet["mapPublicIpOnLaunch"] is True
    assert subnet["vpcId"] == "tinderbox-test-vpc-id"
    route = plan.one("default-route").inputs
    assert route["destinationCidrBlock"] == "0.0.0.0/0"
    assert route["gatewayId"] == "tinderbox-test-gateway-id"
    table = plan.one("routes-of-subnet").inputs
    assert table["subnetId"] == "tinderbox-test-subnet-id"
    assert table["routeTableId"] == route["routeTableId"] == "tinderbox-test-routes-id"


@pytest.mark.parametrize(
    ("vpc", "subnet"),
    [
        ("10.42.0.0/16", "10.42.0.0/20"),
        ("10.42.16.0/20", "10.42.16.0/20"),
        ("10.42.7.0/24", "10.42.7.0/24"),
    ],
)
def test_the_subnet_is_within_the_vpc(vpc, subnet):
    assert public_subnet(vpc) == subnet
    assert ipaddress.IPv4Network(subnet).subnet_of(ipaddress.IPv4Network(vpc))


def test_another_zone_does_not_move_a_network_that_stands():
    assert planned().options_of("subnet").ignore_changes == {"availabilityZone", "cidrBlock"}


def test_machines_wait_for_the_way_out_and_the_rules():
    """Else a first boot could find no network, or a destroy take the route away under a node."""
    needed = {"default-route", "routes-of-subnet", "to-anywhere", "from-operator-ssh"}
    needed.add("from-control-plane-ssh")
    for machine in ("control-plane", "worker-1", "mount-target"):
        assert needed <= planned().waits_for(machine)
