"""What a stack on the local cloud uses when it has nothing to do, by part.

Processor time and memory are read from this host: of pods, containerd and kubelet from the control
groups of the machines, of the local cloud's own processes from /proc.
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.cluster import connect
from console.stack import Stack
from localcloud.daemons import record
from localcloud.host import cgroups

#: What runs on a machine beside pods and has a row of its own; the rest is systemd's, runc's ...
SERVICES = ("containerd", "kubelet")
REST = "systemd and others"
HOST = "host"
_POD = re.compile(r"pod([0-9a-f]{8}[0-9a-f_-]{24,28})(\.slice)?$")
_HASH = re.compile(r"-[0-9a-z]{8,10}$")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Part:
    """Whose it is. on: the instance's id, or HOST. of: a namespace, "node" or "local cloud"."""

    on: str
    of: str
    name: str


@dataclass(frozen=True)
class Use:
    """cpu: seconds since it began, or of a span cores. memory: bytes that can't just be dropped."""

    cpu: float
    memory: float

    def __add__(self, other: Use) -> Use:
        return Use(self.cpu + other.cpu, self.memory + other.memory)


def name_of(pod: Mapping[str, Any]) -> tuple[str, str]:
    """(uid, name): of its control group, and without what tells it from others of its kind."""
    metadata = pod["metadata"]
    # A static pod's group has the hash of its manifest; the API's uid is of its mirror.
    uid = metadata.get("annotations", {}).get("kubernetes.io/config.hash", metadata["uid"])
    name, owners = metadata["name"], metadata.get("ownerReferences", [])
    for owner in owners:
        if owner["kind"] == "Node":
            return uid, name.removesuffix(f"-{owner['name']}")
        is_replica = owner["kind"] == "ReplicaSet"
        return uid, _HASH.sub("", owner["name"]) if is_replica else owner["name"]
    return uid, name


def part_of(folder: str, pods: Mapping[str, tuple[str, str]]) -> tuple[str, str] | None:
    """(of, name) of a control group by its folder's name. pods: the same by uid."""
    if found := _POD.search(folder):
        return pods.get(found[1].replace("_", "-"))
    service = folder.removesuffix(".service")
    return ("node", service) if service != folder and service in SERVICES else None


def of_machine(
    machine: str, cpu: Path, memory: Path, pods: Mapping[str, tuple[str, str]]
) -> dict[Part, Use]:
    """What its parts have used. cpu, memory: its group's folder in the tree that has these."""
    found: dict[Part, Use] = defaultdict(lambda: Use(0, 0))
    for place, below, _ in os.walk(cpu):
        for folder in [*below]:
            if part := part_of(folder, pods):
                below.remove(folder)
                at = Path(place, folder)
                found[Part(machine, *part)] += _of_group(at, memory / at.relative_to(cpu))
    whole, parts = _of_group(cpu, memory), total(found.values())
    rest = Use(whole.cpu - parts.cpu, whole.memory - parts.memory)
    return {**found, Part(machine, "node", REST): rest}


def _of_group(cpu: Path, memory: Path) -> Use:
    old = cpu / "cpuacct.usage"  # nanoseconds
    if old.exists():
        seconds = int(old.read_text()) / 1e9
    else:
        (used,) = re.findall(r"^usage_usec (\d+)", (cpu / "cpu.stat").read_text(), re.M)
        seconds = int(used) / 1e6
    return Use(seconds, cgroups.used(memory) or 0)


def of_process(stat: str) -> Use:
    """By the text of its /proc/PID/stat, with what its children that have ended used."""
    fields = stat.rpartition(")")[2].split()
    return Use(sum(map(int, fields[11:15])) / _TICKS, int(fields[21]) * _PAGE)


def look(machines: Iterable[str], pods: Mapping[str, tuple[str, str]]) -> dict[Part, Use]:
    """All that there is now."""
    cpu, memory = cgroups.folder_of("cpuacct"), cgroups.folder_of("memory")
    found: dict[Part, Use] = {}
    for machine in machines:
        found |= of_machine(machine, cpu / machine, memory / machine, pods)
    known = record.load()
    for name, process in (known.alive if known else {}).items():
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        found[Part(HOST, "local cloud", name)] = of_process(stat)
    return found


def between(
    before: Mapping[Part, Use], after: Mapping[Part, Use], seconds: float
) -> dict[Part, Use]:
    """Cores on average, and the memory of the end; what came meanwhile began with nothing."""
    nothing = Use(0, 0)
    return {
        part: Use((use.cpu - before.get(part, nothing).cpu) / seconds, use.memory)
        for part, use in after.items()
    }


def measure(stack: Stack, minutes: float) -> dict[Part, Use]:
    """Of a stack that is up, and left alone as long as this lasts."""
    machines = [node["instanceId"] for node in stack.nodes()]
    pods = {}
    for pod in connect(stack).json("/api/v1/pods")["items"]:
        uid, name = name_of(pod)
        pods[uid] = pod["metadata"]["namespace"], name
    began, before = time.monotonic(), look(machines, pods)
    time.sleep(60 * minutes)
    return between(before, look(machines, pods), time.monotonic() - began)


def table(used: Mapping[Part, Use]) -> str:
    """Markdown: a row for each part, what uses most first, and what all of them are together."""
    rows: dict[tuple[str, str], list[Use]] = defaultdict(list)
    for part, use in used.items():
        rows[part.of, part.name].append(use)
    lines = ["| of | part | machines | cores | MiB |\n|---|---|---|---|---|\n"]
    for (of, name), uses in sorted(rows.items(), key=lambda row: -total(row[1]).cpu):
        lines.append(_line(of, name, len(uses), total(uses)))
    inside = by_machine(used)
    lines.append(_line("all machines", "", len(inside), total(inside.values())))
    lines.append(_line("all, and this host's processes for them", "", 1, total(used.values())))
    return "".join(lines)


def by_machine(used: Mapping[Part, Use]) -> dict[str, Use]:
    """What each uses, by its instance's id."""
    found: dict[str, Use] = defaultdict(lambda: Use(0, 0))
    for part, use in used.items():
        if part.on != HOST:
            found[part.on] += use
    return dict(found)


def total(uses: Iterable[Use]) -> Use:
    """Of all together."""
    return sum(uses, Use(0, 0))


def _line(of: str, name: str, machines: int, use: Use) -> str:
    return f"| {of} | {name} | {machines} | {use.cpu:.3f} | {use.memory / 2**20:,.0f} |\n"
