"""What the local cloud needs of its host; what is missing is one line with the way out."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.host import cgroups, debian, network
from localcloud.layout import API_ADDRESS, API_PORT, INSTEAD, PUBLIC_NETWORK
from localcloud.mirror import registry

#: What runs here, by the package that has it: looked for on each host, whoever built the cache.
PACKAGES = (
    "dnsmasq-base",
    registry.PROGRAM,
    "iproute2",
    "mount",
    "nftables",
    "systemd-container",
    "util-linux",
)
#: Kernel modules that nodes need, by what shows that they are there: a machine has none to load.
#: Others (vxlan, veth, nf_tables and its parts) the kernel loads by itself when they are used.
MODULES: dict[str, Callable[[], bool]] = {
    "overlay": lambda: "overlay" in Path("/proc/filesystems").read_text().split(),
    "br_netfilter": Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists,
    "nf_conntrack": Path("/proc/sys/net/netfilter/nf_conntrack_max").exists,
}
#: Capabilities by their number in the kernel.
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}


def require_host(progress: debian.Progress) -> None:
    """Raise CloudError unless machines can run here; installs missing packages."""
    if sys.platform != "linux":
        raise CloudError(f"the local cloud needs Linux, this is {sys.platform}; {INSTEAD}")
    debian.require_root("the local cloud")
    status = Path("/proc/self/status").read_text()
    if lacking := missing_capabilities(status):
        raise CloudError(
            f"the local cloud needs {' and '.join(lacking)}, which root lacks here "
            f"(a container without --privileged?); {INSTEAD}"
        )
    debian.load_modules(MODULES, progress)
    require_cgroups()
    debian.ensure_packages(PACKAGES, "to run machines", progress)


def require_free() -> None:
    """Raise CloudError where something else already uses the addresses that we need."""
    if taken := network.range_in_use():
        raise CloudError(f"{PUBLIC_NETWORK} is in use on this host: {taken}; {INSTEAD}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((API_ADDRESS, API_PORT))
        except OSError as problem:
            raise CloudError(
                f"port {API_PORT} of {API_ADDRESS}, the AWS API's, is taken by another program "
                f"({problem.strerror}); end it and try again"
            ) from None


def missing_capabilities(status: str) -> list[str]:
    """Those of CAPABILITIES that the process lacks, from the text of its /proc/PID/status."""
    held = int(status.partition("CapEff:")[2].split()[0], 16)
    return [name for name, bit in CAPABILITIES.items() if not held >> bit & 1]


def require_cgroups() -> None:
    """Raise CloudError unless cgroups of the kinds that a kubelet needs can be made."""
    found = cgroups.hierarchies()
    if all(hierarchy.version == 2 for hierarchy in found):
        offered = set((found[0].mount / "cgroup.controllers").read_text().split())
        missing = set(cgroups.V2_CONTROLLERS) - offered
    else:
        missing = set(cgroups.CONTROLLERS).difference(*(one.controllers for one in found))
    if missing:
        raise CloudError(f"no cgroup controller {', '.join(sorted(missing))} here; {INSTEAD}")
    for hierarchy in found:
        if not os.access(hierarchy.mount, os.W_OK):
            raise CloudError(f"{hierarchy.mount} is read-only, so no machine can run; {INSTEAD}")
