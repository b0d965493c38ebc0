"""What a machine is given before its first boot: cloud-init's seed and the hypervisor's part.

On AWS the first comes from the metadata service and the second from hardware and DHCP; here both
are files that lie in the machine's root before it starts.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

from localcloud.api.wanted import Instance
from localcloud.layout import REGION

SEED = "var/lib/cloud/seed/nocloud"
#: cloud-init makes it when it has done all its work, anew at each boot.
FINISHED = "var/lib/cloud/instances/{}/boot-finished"
UNIT = "etc/systemd/system/machine.service"
#: /proc/meminfo as the machine's hardware would have it: a kubelet offers what stands there.
MEMORY = "etc/machine-meminfo"

#: What a real machine has from its start: memory of its own, a shared root mount, and cgroups that
#: it may change (systemd-nspawn mounts those of cgroup v1 read-only, and runtimes make their own).
MACHINE_UNIT = f"""\
[Unit]
Description=What a container needs to pass for a machine
DefaultDependencies=no
Before=sysinit.target cloud-init-local.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'mount --make-rshared /; \
  if [ -e /{MEMORY} ]; then mount --bind /{MEMORY} /proc/meminfo; fi; \
  grep "^cgroup /sys/fs/cgroup/" /proc/mounts | while read -r _ place _; do \
    mount -o remount,bind,rw,nosuid,nodev,noexec "$$place"; done'

[Install]
WantedBy=sysinit.target
"""

#: As Debian's AMIs have it: /etc/hosts is cloud-init's, written anew at each boot. Until it is, the
#: seed's says the machine's own name, for whoever comes before (sudo asks for it).
VENDOR_DATA = "#cloud-config\nmanage_etc_hosts: true\n"


@dataclass(frozen=True)
class File:
    """A file in the machine's root, by its path from there."""

    path: str
    content: bytes
    mode: int = 0o644


def files(instance: Instance, public_key: str | None, user_data: bytes) -> list[File]:
    """The files of a new machine; `user_data` is as the instance was given it, decoded."""
    short_name = instance.dns_name.partition(".")[0]
    # NoCloud reads YAML, and JSON is YAML without its traps.
    meta_data = {
        "instance-id": instance.id,
        "local-hostname": instance.dns_name,
        "public-keys": [public_key.strip()] if public_key else [],
    }
    texts = {
        f"{SEED}/meta-data": json.dumps(meta_data, indent=1) + "\n",
        f"{SEED}/vendor-data": VENDOR_DATA,
        "etc/hostname": short_name + "\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {instance.dns_name} {short_name}\n",
        "etc/machine-id": uuid.uuid5(uuid.NAMESPACE_DNS, instance.id).hex + "\n",
        "etc/resolv.conf": resolv_conf(instance),
        UNIT: MACHINE_UNIT,
    }
    made = [File(path, text.encode()) for path, text in texts.items()]
    # User data may hold secrets; cloud-init keeps its own copy closed as well.
    return [*made, File(f"{SEED}/user-data", user_data or b"#cloud-config\n{}\n", 0o600)]


def meminfo(memory: int) -> bytes:
    """/proc/meminfo of a machine with `memory` bytes, none of them in use: it stays as it is."""
    sizes = dict.fromkeys(("MemTotal", "MemFree", "MemAvailable"), memory // 1024)
    sizes |= dict.fromkeys(("Buffers", "Cached", "SwapTotal", "SwapFree"), 0)
    return "".join(f"{name + ':':<15} {size:>8} kB\n" for name, size in sizes.items()).encode()


def resolv_conf(instance: Instance) -> str:
    """As DHCP sets it in a VPC: its resolver, and the region's internal domain to search."""
    return f"nameserver {instance.resolver}\nsearch {REGION}.compute.internal\n"
