"""The host's part of the network: bridge, router addresses, machines' namespaces, nftables.

Nothing of the host's own settings changes: forwarding is switched on for the bridge alone, and
goes with it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from localcloud.api.wanted import Interface
from localcloud.errors import CloudError
from localcloud.host.shell import run, wait_until
from localcloud.layout import (
    BRIDGE,
    HOST_ADDRESS,
    LINK_PREFIX,
    NETNS_PREFIX,
    PUBLIC_NETWORK,
    TABLE,
)

#: An address of its own: a bridge without one takes a port's, and changes it as ports come and go.
BRIDGE_MAC = "02:00:0a:2b:00:01"

#: `ip netns add` prepares /run/netns, and two at once prepare it twice.
_ONE_AT_A_TIME = threading.Lock()


def make_bridge() -> None:
    """Make the bridge with the host's address on it, if it is not there."""
    if BRIDGE in links():
        return
    run(["ip", "link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge"])
    prefix = PUBLIC_NETWORK.partition("/")[2]
    run(["ip", "address", "add", f"{HOST_ADDRESS}/{prefix}", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])
    Path(f"/proc/sys/net/ipv4/conf/{BRIDGE}/forwarding").write_text("1")


def range_in_use() -> str | None:
    """What on this host already has our public range, as one line for the user; None if nothing."""
    lines = run(["ip", "-o", "route", "show", "root", PUBLIC_NETWORK]).splitlines()
    foreign = [line.strip() for line in lines if f"dev {BRIDGE}" not in line]
    return foreign[0] if foreign else None


def set_router_addresses(instances: Iterable[Interface]) -> None:
    """Hold each subnet's router address and each VPC's resolver address on the bridge."""
    wanted = {f"{HOST_ADDRESS}/{PUBLIC_NETWORK.partition('/')[2]}"}
    for instance in instances:
        wanted |= {f"{instance.router}/{instance.prefix}", f"{instance.resolver}/32"}
    held = {
        f"{address['local']}/{address['prefixlen']}"
        for link in json.loads(run(["ip", "-j", "-4", "address", "show", "dev", BRIDGE]))
        for address in link.get("addr_info", [])
    }
    for address in sorted(wanted - held):
        run(["ip", "address", "add", address, "dev", BRIDGE])
    for address in sorted(held - wanted):
        run(["ip", "address", "del", address, "dev", BRIDGE])


def apply_host_rules(text: str) -> None:
    """Put the host's table in place, at once or not at all."""
    run(["nft", "-f", "-"], stdin=text)


def remove_host_rules() -> None:
    """Remove the host's table, if it is there."""
    if has_host_rules():
        run(["nft", "delete", "table", "ip", TABLE])


def has_host_rules() -> bool:
    """Whether the host's table is there; without nft nobody has made one."""
    return (
        shutil.which("nft") is not None
        and f"table ip {TABLE}" in run(["nft", "list", "tables"]).splitlines()
    )


def namespace(instance_id: str) -> str:
    """The name of the machine's network namespace (`ip netns exec NAME ...` looks into it)."""
    return NETNS_PREFIX + instance_id


def namespace_path(instance_id: str) -> Path:
    """The file that is the machine's network namespace."""
    return Path("/run/netns") / namespace(instance_id)


def plug_in(instance: Interface, rules: str) -> None:
    """Make the machine's network namespace, guarded before it is connected to the bridge."""
    unplug(instance.id)
    name, cable = namespace(instance.id), _cable(instance.id)
    with _ONE_AT_A_TIME:
        run(["ip", "netns", "add", name])
    apply_machine_rules(instance.id, rules)
    inside = ["ip", "-n", name]
    run(
        ["ip", "link", "add", cable, "type", "veth"]
        + ["peer", "name", "host0", "address", instance.mac, "netns", name]
    )
    run([*inside, "link", "set", "lo", "up"])
    run([*inside, "address", "add", f"{instance.address}/{instance.prefix}", "dev", "host0"])
    run([*inside, "link", "set", "host0", "up"])
    run([*inside, "route", "add", "default", "via", instance.router])
    run(["ip", "link", "set", cable, "master", BRIDGE, "up"])


def apply_machine_rules(instance_id: str, text: str) -> None:
    """Put the security groups' table in place in the machine's network namespace."""
    run(["ip", "netns", "exec", namespace(instance_id), "nft", "-f", "-"], stdin=text)


def unplug(instance_id: str) -> None:
    """Remove the machine's cable and network namespace, if they are there."""
    if _cable(instance_id) in links():
        with contextlib.suppress(CloudError):  # it goes by itself with a dying namespace
            run(["ip", "link", "delete", _cable(instance_id)])
    if namespace(instance_id) in namespaces():
        run(["ip", "netns", "delete", namespace(instance_id)])


def namespaces() -> set[str]:
    """The names of all our network namespaces."""
    folder = Path("/run/netns")
    if not folder.is_dir():
        return set()
    return {file.name for file in folder.iterdir() if file.name.startswith(NETNS_PREFIX)}


def plugged_in(prefix: str) -> set[str]:
    """The ids with that prefix of all that has a network namespace."""
    ids = {name.removeprefix(NETNS_PREFIX) for name in namespaces()}
    return {id for id in ids if id.startswith(prefix)}


def links() -> set[str]:
    """The names of all our links on the host."""
    folder = Path("/sys/class/net")
    return {link.name for link in folder.iterdir() if link.name.startswith(LINK_PREFIX)}


def remove_everything() -> None:
    """Remove namespaces, links and the table; machines must have ended before."""
    for name in namespaces():
        run(["ip", "netns", "delete", name])
    for link in links():
        with contextlib.suppress(CloudError):  # a namespace's end takes its cable along
            run(["ip", "link", "delete", link])
    remove_host_rules()
    if not wait_until(lambda: not links(), 5):
        raise CloudError(f"these links cannot be removed: {' '.join(sorted(links()))}")


def _cable(instance_id: str) -> str:
    """The host's end of a machine's cable; links' names have at most 15 characters."""
    return LINK_PREFIX + instance_id.removeprefix("i-")[-12:]
