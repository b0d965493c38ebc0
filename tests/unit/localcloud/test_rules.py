"""The text of the nftables tables; tests/cloud has real packets meet them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localcloud.api.wanted import Rule
from localcloud.host import rules
from tests.unit.localcloud.node import NODE


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize(
    ("protocol", "first", "last", "match"),
    [
        ("tcp", 22, 22, "tcp dport 22 "),
        ("udp", 30000, 32767, "udp dport 30000-32767 "),
        ("tcp", None, None, "meta l4proto tcp "),
        ("all", None, None, ""),
        ("icmp", None, None, "meta l4proto icmp "),
        ("icmp", 8, None, "icmp type 8 "),
        ("icmp", 3, 4, "icmp type 3 icmp code 4 "),
        ("50", None, None, "meta l4proto 50 "),
    ],
)
def test_an_opening_becomes_one_line(
    protocol: str, first: int | None, last: int | None, match: str
) -> None:
    rule = Rule(protocol, first, last, ("10.0.0.0/8",))
    text = rules.machine_rules(replace(NODE, ingress=(rule,), egress=(rule,)))
    assert f"iifname host0 ip saddr {{ 10.0.0.0/8 }} {match}accept" in lines(text)
    assert f"oifname host0 ip daddr {{ 10.0.0.0/8 }} {match}accept" in lines(text)


def test_peers_that_cover_each_other_are_merged() -> None:
    rule = Rule("tcp", 22, 22, ("10.42.0.7", "10.42.0.0/16", "192.0.2.1"))
    text = rules.machine_rules(replace(NODE, ingress=(rule,)))
    assert "ip saddr { 10.42.0.0/16, 192.0.2.1/32 } tcp dport 22" in text


def test_a_rule_for_a_group_without_members_lets_nobody_in() -> None:
    text = rules.machine_rules(replace(NODE, ingress=(Rule("tcp", 22, 22, ()),)))
    assert "dport 22" not in text


def test_without_rules_only_answers_the_resolver_and_the_metadata_pass() -> None:
    accepted = [line for line in lines(rules.machine_rules(NODE)) if line.endswith(" accept")]
    assert accepted == [
        "iifname host0 ct state established,related accept",
        "oifname host0 ct state established,related accept",
        "oifname host0 ip daddr 169.254.169.254 tcp dport 80 accept",
        "oifname host0 ip daddr 10.42.0.2 meta l4proto { tcp, udp } th dport 53 accept",
    ]
    assert "iifname host0 drop" in lines(rules.machine_rules(NODE))
    assert "oifname host0 drop" in lines(rules.machine_rules(NODE))


def test_the_source_check_comes_first_and_can_be_off() -> None:
    on = rules.machine_rules(NODE)
    assert on.index("ip saddr != 10.42.0.5 drop") < on.index("oifname host0 ct state")
    assert on.index("ip daddr != 10.42.0.5 drop") < on.index("iifname host0 ct state")
    assert "!= 10.42.0.5" not in rules.machine_rules(replace(NODE, check_source=False))


def test_public_addresses_are_mapped_both_ways() -> None:
    text = rules.host_rules([replace(NODE, public_address="10.43.0.10")])
    assert (
        "map inward { type ipv4_addr : ipv4_addr; elements = { 10.43.0.10 : 10.42.0.5 }; }" in text
    )
    assert (
        "map outward { type ipv4_addr : ipv4_addr; elements = { 10.42.0.5 : 10.43.0.10 }; }" in text
    )


def test_a_vpcs_resolver_is_the_one_on_the_bridge() -> None:
    text = rules.host_rules([NODE])
    assert "set resolvers { type ipv4_addr; elements = { 10.42.0.2 }; }" in text
    for protocol in ("udp", "tcp"):
        there = f"iifname tbx0 ip daddr @resolvers {protocol} dport 53 dnat to 10.43.0.1"
        assert there in lines(text)


def test_the_metadata_service_is_the_one_on_the_bridge() -> None:
    there = "iifname tbx0 ip daddr 169.254.169.254 tcp dport 80 dnat to 10.43.0.1:4598"
    assert there in lines(rules.host_rules([]))


def test_a_table_without_machines_has_no_empty_elements() -> None:
    assert "elements" not in rules.host_rules([])


def test_machines_reach_only_the_hosts_addresses_on_the_bridge() -> None:
    other = replace(NODE, address="10.42.16.4", subnet_range="10.42.16.0/20")
    assert "iifname tbx0 ip daddr != { 10.42.0.1, 10.42.0.2, 10.42.16.1, 10.43.0.1 } drop" in lines(
        rules.host_rules([NODE, other])
    )


def test_vpcs_are_kept_apart() -> None:
    other = replace(NODE, vpc="vpc-2", vpc_range="10.50.0.0/16", subnet_range="10.50.0.0/24")
    accepted = [line for line in lines(rules.host_rules([NODE, other])) if "ip saddr 10." in line]
    assert accepted == [
        "ip saddr 10.42.0.0/16 ip daddr 10.42.0.0/16 accept",
        "ip saddr 10.50.0.0/16 ip daddr 10.50.0.0/16 accept",
    ]
