"""What a stack on the local cloud uses when it has nothing to do, by part.

Both are read from this host: processor time from the control groups of the machines' pods,
containerd and kubelet, memory from their processes (what several share is divided among them).
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import cpu
from console.cluster import connect
from console.stack import Stack
from localcloud.daemons import record
from localcloud.errors import CloudError
from localcloud.host import cgroups

#: What runs on a machine beside pods and has a row of its own; the rest is systemd's, runc's ...
SERVICES = ("containerd", "kubelet")
REST = "systemd and others"
HOST = "host"
_POD = re.compile(r"pod([0-9a-f]{8}[0-9a-f_-]{24,28})(\.slice)?$")
_HASH = re.compile(r"-[0-9a-z]{8,10}$")
#: What a process has, by its id, in bytes.
Memory = Callable[[int], int]


@dataclass(frozen=True)
class Part:
    """Whose it is. on: the instance's id, or HOST. of: a namespace, "node" or "local cloud"."""

    on: str
    of: str
    name: str


@dataclass(frozen=True)
class Use:
    """cpu: seconds since it began, or of a span cores. memory: bytes."""

    cpu: float
    memory: float

    def __add__(self, other: Use) -> Use:
        return Use(self.cpu + other.cpu, self.memory + other.memory)


NOTHING = Use(0, 0)


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
    machine: str, top: Path, pods: Mapping[str, tuple[str, str]], memory: Memory
) -> dict[Part, Use]:
    """What its parts have used. top: its group's folder in the tree of cgroup v2."""
    found: dict[Part, Use] = defaultdict(lambda: NOTHING)
    for place, below, _ in os.walk(top):
        for folder in [*below]:
            if part := part_of(folder, pods):
                below.remove(folder)
                found[Part(machine, *part)] += _of_group(Path(place, folder), memory)
    whole, parts = _of_group(top, memory), total(found.values())
    rest = Use(whole.cpu - parts.cpu, whole.memory - parts.memory)
    return {**found, Part(machine, "node", REST): rest}


def _of_group(folder: Path, memory: Memory) -> Use:
    (used,) = re.findall(r"^usage_usec (\d+)", (folder / "cpu.stat").read_text(), re.M)
    files = (Path(place, "cgroup.procs") for place, _, _ in os.walk(folder))
    pids = {int(pid) for file in files for pid in file.read_text().split()}
    return Use(int(used) / 1e6, sum(map(memory, pids)))


def share(pid: int) -> int:
    """Bytes of memory of a process: what it shares with others is divided among them."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0
    return 1024 * sum(map(int, re.findall(r"^Pss: +(\d+)", told, re.M)))


def look(machines: Iterable[str], pods: Mapping[str, tuple[str, str]]) -> dict[Part, Use]:
    """All that there is now. Raises CloudError where no tree tells the time of each group."""
    trees = [folder for tree, folder in cgroups.roots() if tree.version == 2]
    if not trees:
        raise CloudError(
            "this host has no cgroup v2, not even beside v1: nothing is known of parts"
        )
    found: dict[Part, Use] = {}
    for machine in machines:
        found |= of_machine(machine, trees[0] / machine, pods, share)
    known = record.load()
    for name, process in (known.alive if known else {}).items():
        used = Use(cpu(process.pid, children=True), share(process.pid))
        found[Part(HOST, "local cloud", name)] = used
    return found


def between(
    before: Mapping[Part, Use], after: Mapping[Part, Use], seconds: float
) -> dict[Part, Use]:
    """Cores on average, and the memory of the end; what came meanwhile began with nothing."""
    return {
        part: Use((use.cpu - before.get(part, NOTHING).cpu) / seconds, use.memory)
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
    found: dict[str, Use] = defaultdict(lambda: NOTHING)
    for part, use in used.items():
        if part.on != HOST:
            found[part.on] += use
    return dict(found)


def total(uses: Iterable[Use]) -> Use:
    """Of all together."""
    return sum(uses, NOTHING)


def _line(of: str, name: str, machines: int, use: Use) -> str:
    return f"| {of} | {name} | {machines} | {use.cpu:.3f} | {use.memory / 2**20:,.0f} |\n"
