"""The text of our nftables tables: the router's on the host, a machine's security groups in it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from localcloud.api.wanted import Interface, Rule
from localcloud.layout import BRIDGE, HOST_ADDRESS, METADATA_ADDRESS, METADATA_PORT, TABLE


def host_rules(instances: Iterable[Interface]) -> str:
    """The host's table: public addresses 1:1, and machines kept to themselves.

    Machines reach the host's addresses on the bridge, machines of their own VPC, and public
    addresses of machines (those that have one themselves). Nothing else comes in or goes out.
    """
    instances = list(instances)
    public = {one.public_address: one.address for one in instances if one.public_address}
    resolvers = {one.resolver for one in instances}
    own = {HOST_ADDRESS, *(one.router for one in instances), *resolvers}
    vpcs = sorted({one.vpc_range for one in instances})
    within = "\n".join(f"    ip saddr {vpc} ip daddr {vpc} accept" for vpc in vpcs)
    return f"""\
table ip {TABLE} {{}}
delete table ip {TABLE}
table ip {TABLE} {{
  map inward {{ type ipv4_addr : ipv4_addr; {_elements(public)} }}
  set resolvers {{ type ipv4_addr; {_set(resolvers)} }}
  set reachable {{ type ipv4_addr; {_set(public.values())} }}
  map outward {{ type ipv4_addr : ipv4_addr; {_elements({a: p for p, a in public.items()})} }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname {BRIDGE} ip daddr @resolvers udp dport 53 dnat to {HOST_ADDRESS}
    iifname {BRIDGE} ip daddr @resolvers tcp dport 53 dnat to {HOST_ADDRESS}
    iifname {BRIDGE} ip daddr {METADATA_ADDRESS} tcp dport 80 dnat to {HOST_ADDRESS}:{METADATA_PORT}
    iifname {BRIDGE} dnat to ip daddr map @inward
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    dnat to ip daddr map @inward
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname {BRIDGE} ct status dnat snat to ip saddr map @outward
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname {BRIDGE} ip daddr != {{ {", ".join(sorted(own))} }} drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname != {BRIDGE} oifname != {BRIDGE} accept
    iifname != {BRIDGE} drop
    oifname != {BRIDGE} drop
    ct status dnat ct state established,related accept
    ct status dnat ip saddr @reachable accept
{within}
    drop
  }}
  chain redirects {{
    type filter hook output priority filter; policy accept;
    # A redirect would send a machine past the address translation.
    oifname {BRIDGE} icmp type redirect drop
  }}
}}
"""


def machine_rules(instance: Interface) -> str:
    """The table in a machine's own network namespace: its security groups, as EC2 applies them.

    It stands where packets enter and leave the machine, before its own address translation and
    after it, so that it sees what EC2's would: nodes' packets, not pods'. Answers need no rule, and
    neither do the VPC's resolver and the instance metadata service.
    """
    ingress = _openings("iifname host0", instance.ingress, "saddr")
    egress = _openings("oifname host0", instance.egress, "daddr")
    spoofed = foreign = ""
    if instance.check_source:
        spoofed = f"    oifname host0 ip saddr != {instance.address} drop\n"
        foreign = f"    iifname host0 ip daddr != {instance.address} drop\n"
    return f"""\
table inet security_groups {{}}
delete table inet security_groups
table inet security_groups {{
  chain ingress {{
    type filter hook prerouting priority mangle; policy accept;
{foreign}    iifname host0 ct state established,related accept
{ingress}    iifname host0 drop
  }}
  chain egress {{
    type filter hook postrouting priority 150; policy accept;
{spoofed}    oifname host0 ct state established,related accept
    oifname host0 ip daddr {METADATA_ADDRESS} tcp dport 80 accept
    oifname host0 ip daddr {instance.resolver} meta l4proto {{ tcp, udp }} th dport 53 accept
{egress}    oifname host0 drop
  }}
}}
"""


def _openings(interface: str, rules: Iterable[Rule], side: str) -> str:
    """nft's lines for the rules that let anyone in; `side` is "saddr" or "daddr"."""
    lines = []
    for rule in rules:
        if rule.peers:
            peers = f"ip {side} {{ {', '.join(_merged(rule.peers))} }}"
            lines.append(" ".join(filter(None, (interface, peers, _protocol(rule), "accept"))))
    return "".join(f"    {line}\n" for line in lines)


def _protocol(rule: Rule) -> str:
    """nft's match of the rule's protocol and ports."""
    if rule.protocol == "all":
        return ""
    if rule.protocol in ("tcp", "udp"):
        if rule.first is None:
            return f"meta l4proto {rule.protocol}"
        last = rule.first if rule.last is None else rule.last
        ports = str(rule.first) if rule.first == last else f"{rule.first}-{last}"
        return f"{rule.protocol} dport {ports}"
    if rule.protocol == "icmp" and rule.first is not None:
        code = "" if rule.last is None else f" icmp code {rule.last}"
        return f"icmp type {rule.first}{code}"
    return f"meta l4proto {rule.protocol}"


def _merged(peers: Iterable[str]) -> list[str]:
    """The ranges merged where one holds another: nft's sets take no overlaps."""
    networks = ipaddress.collapse_addresses(ipaddress.IPv4Network(peer) for peer in peers)
    return [str(network) for network in networks]


def _elements(pairs: Mapping[str, str]) -> str:
    """The elements of an nft map."""
    return _set(f"{key} : {value}" for key, value in pairs.items())


def _set(elements: Iterable[str]) -> str:
    """The elements of an nft set, nothing for an empty one (nft's grammar has no form for it)."""
    text = ", ".join(sorted(elements))
    return f"elements = {{ {text} }};" if text else ""
