"""The VPCs' resolver: dnsmasq on the bridge, which knows the machines and nothing else.

It has one address, the bridge's own, which is there before it starts. Each VPC's resolver address
leads to that by the host's table (rules.py), so there is none that it would have to notice.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from localcloud.api.wanted import Balancer, Interface
from localcloud.layout import HOST_ADDRESS, HOSTS


def command() -> list[str]:
    """dnsmasq's command line; it reads HOSTS anew on SIGHUP."""
    return [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        f"--listen-address={HOST_ADDRESS}",
        # At that address only: the host may have a resolver of its own on others.
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        f"--addn-hosts={HOSTS}",
        # What is not in HOSTS does not exist; without this the answer would be an error.
        "--address=/#/",
        # The state folder is closed to all but root.
        "--user=root",
        "--group=root",
        "--log-facility=-",
    ]


def hosts(interfaces: Iterable[Interface]) -> str:
    """The text of HOSTS: the address and DNS name of each instance and load balancer.

    Of a load balancer that faces the internet its public address, as on AWS.
    """
    return "".join(
        f"{one.public_address if is_public(one) else one.address} {one.dns_name}\n"
        for one in interfaces
    )


def is_public(one: Interface) -> bool:
    """Whether its name is one of public addresses."""
    return isinstance(one, Balancer) and one.public_address is not None


def write_hosts(text: str, place: Path = HOSTS) -> bool:
    """Put the text in place, whole; whether it is another than before."""
    if place.exists() and place.read_text() == text:
        return False
    scratch = place.with_suffix(".new")
    scratch.write_text(text)
    scratch.rename(place)
    return True
