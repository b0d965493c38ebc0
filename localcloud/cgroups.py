"""Control groups of machines and daemons: where our processes are, whoever started them.

A group is named by a word ("services" or an instance's id) and is the folder tinderbox/<name> in
each hierarchy: those of cgroup v1, systemd's own (or the machines' systemds would meet in one
group), and that of cgroup v2.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.layout import CGROUP
from localcloud.shell import wait_until

#: What a machine's kubelet needs.
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
V2_CONTROLLERS = ("cpu", "cpuset", "memory", "io", "pids")


@dataclass(frozen=True)
class Hierarchy:
    """A mounted cgroup tree; `controllers` are those of v1 (none: systemd's tree, or v2)."""

    mount: Path
    controllers: frozenset[str]
    version: int


def parse_mounts(mounts: str) -> list[Hierarchy]:
    """The hierarchies on a host, each once, from the text of /proc/mounts."""
    found: dict[str, Hierarchy] = {}
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            # What tells a tree from the others: its controllers or, without any, its name.
            held = frozenset(options.split(",")) & frozenset(CONTROLLERS)
            named = [option for option in options.split(",") if option.startswith("name=")]
            if kind == "cgroup2" or held or named:
                version = 2 if kind == "cgroup2" else 1
                key = " ".join(sorted(held) or named or [kind])
                found.setdefault(key, Hierarchy(Path(place), held, version))
    return list(found.values())


def hierarchies() -> list[Hierarchy]:
    """This host's hierarchies; CloudError where nothing is mounted that machines could use."""
    found = parse_mounts(Path("/proc/mounts").read_text())
    if not found:
        raise CloudError("no cgroup hierarchy is mounted on /sys/fs/cgroup")
    return found


def create(name: str, memory_bytes: int | None = None) -> list[Path]:
    """Make the group; the result is its folders, whose cgroup.procs a process joins."""
    folders = []
    for hierarchy in hierarchies():
        parent = hierarchy.mount / CGROUP
        folder = parent / name
        for step in (parent, folder):
            step.mkdir(exist_ok=True)
            if "cpuset" in hierarchy.controllers:
                # An empty cpuset takes no process.
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (step / file).write_text((hierarchy.mount / file).read_text())
                (step / "cgroup.clone_children").write_text("1")
        if hierarchy.version == 2:
            for step in (hierarchy.mount, parent):
                for controller in V2_CONTROLLERS:
                    with contextlib.suppress(OSError):  # this host may lack one of them
                        (step / "cgroup.subtree_control").write_text(f"+{controller}")
        if memory_bytes is not None:
            for file in ("memory.limit_in_bytes", "memory.max"):
                if (folder / file).exists():
                    (folder / file).write_text(str(memory_bytes))
        folders.append(folder)
    return folders


def names() -> set[str]:
    """The groups that exist, whoever made them."""
    entries = (entry for parent in _folders("") for entry in parent.iterdir())
    return {entry.name for entry in entries if entry.is_dir()}


def processes(name: str = "") -> set[int]:
    """The processes in the group and all below it; without a name, in all our groups."""
    found: set[int] = set()
    for folder in _folders(name):
        for below, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):  # a group that went away meanwhile is empty
                found.update(map(int, (Path(below) / "cgroup.procs").read_text().split()))
    return found - {0}


def kill(name: str, seconds: float = 15) -> None:
    """End every process of the group with SIGKILL and wait until it is empty.

    Raises CloudError naming the processes that would not go.
    """

    if not wait_until(lambda: not _kill_once(name), seconds):
        left = ", ".join(map(str, sorted(processes(name))))
        raise CloudError(f"these processes of {name} do not end: {left}")


def remove(name: str = "", seconds: float = 10) -> None:
    """End what is in the group (without a name, in all our groups) and remove it, deepest first.

    Raises CloudError naming what stays.
    """

    def gone() -> bool:
        # A daemon that was just started may join its group only now.
        _kill_once(name)
        for folder in _folders(name):
            for below, _, _ in os.walk(folder, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(below)
        return not any(_folders(name))

    if not wait_until(gone, seconds):
        left = " ".join(str(folder) for folder in _folders(name))
        raise CloudError(f"these cgroups cannot be removed: {left}")


def memory(name: str) -> int | None:
    """Bytes that the group uses, without file cache that could be dropped; None if unknown."""
    for folder in _folders(name):
        for total, cache in (
            ("memory.usage_in_bytes", "total_inactive_file"),
            ("memory.current", "inactive_file"),
        ):
            with contextlib.suppress(OSError):
                used = int((folder / total).read_text())
                lines = (folder / "memory.stat").read_text().splitlines()
                return used - int(dict(line.split() for line in lines)[cache])
    return None


def _kill_once(name: str) -> set[int]:
    """Send SIGKILL to every process of the group; the result is who they were."""
    found = processes(name)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _folders(name: str) -> Iterator[Path]:
    for hierarchy in hierarchies():
        folder = hierarchy.mount / CGROUP / name
        if folder.is_dir():
            yield folder
