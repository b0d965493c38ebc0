"""Control groups of machines and daemons: where our processes are, whoever started them.

A group is named by a word ("services" or an instance's id) and is the folder tinderbox/<name> in
each hierarchy: those of cgroup v1, systemd's own (or the machines' systemds would meet in one
group), and that of cgroup v2. Where a systemd rules the one tree of cgroup v2, the groups are below
a scope that it made for us and has delegated: folders made behind its back lose their controllers.

In cgroup v2 a group with processes of its own can't give controllers to groups below it. So what
starts a machine is in a leaf of the machine's group (`leaves`), and so is all that systemd-nspawn
puts there (its `supervisor` and `payload`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.host.debian import has_systemd
from localcloud.host.shell import run, wait_until
from localcloud.layout import CGROUP, INSTEAD

#: The group that holds every daemon, so that it is found even if no record of it is left.
SERVICES = "services"
#: Where a container's own processes are meanwhile, if we run in one that sees its group only.
OTHERS = f"{CGROUP}-others"
#: Our unit where systemd rules cgroup v2.
SCOPE = f"{CGROUP}.scope"

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


def root(hierarchy: Hierarchy, among: Sequence[Hierarchy], systemd: bool) -> Path:
    """Our folder in the hierarchy, one of those `among` this host's."""
    if systemd and hierarchy.version == 2 and len(among) == 1:
        return hierarchy.mount / "system.slice" / SCOPE
    return hierarchy.mount / CGROUP


def roots() -> list[tuple[Hierarchy, Path]]:
    """This host's hierarchies, each with our folder in it, there or not."""
    found = hierarchies()
    systemd = has_systemd()
    return [(hierarchy, root(hierarchy, found, systemd)) for hierarchy in found]


def create(name: str, memory_bytes: int | None = None) -> list[Path]:
    """Make the group; the result is its folders, for `joining`."""
    folders = []
    for hierarchy, parent in roots():
        folder = parent / name
        if parent.name == SCOPE:
            _ask_systemd(parent)
        elif hierarchy.version == 2:
            _make_room(hierarchy.mount)
            enable_below(hierarchy.mount)
        for step in (parent, folder):
            step.mkdir(exist_ok=True)
            if "cpuset" in hierarchy.controllers:
                # An empty cpuset takes no process.
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (step / file).write_text((hierarchy.mount / file).read_text())
                (step / "cgroup.clone_children").write_text("1")
        if hierarchy.version == 2:
            enable_below(parent)
        if memory_bytes is not None:
            for file in ("memory.limit_in_bytes", "memory.max"):
                if (folder / file).exists():
                    (folder / file).write_text(str(memory_bytes))
        folders.append(folder)
    return folders


def enable_below(folder: Path) -> None:
    """Let groups below a folder of cgroup v2 have the controllers that it has itself.

    Raises CloudError where the kernel refuses, as it does for a folder with processes in it.
    """
    offered = (folder / "cgroup.controllers").read_text().split()
    wanted = [f"+{controller}" for controller in offered if controller in V2_CONTROLLERS]
    try:
        (folder / "cgroup.subtree_control").write_text(" ".join(wanted))
    except OSError as problem:
        raise CloudError(
            f"groups below {folder} get no controllers ({problem.strerror}): processes are in "
            f"that group itself; {INSTEAD}"
        ) from None


def leaves(folders: Sequence[Path]) -> list[Path]:
    """Folders for a process that keeps a group: in cgroup v2 a leaf of it, beside others."""
    found = []
    for folder in folders:
        inner = (folder / "cgroup.subtree_control").exists()
        leaf = folder / "launcher" if inner else folder
        leaf.mkdir(exist_ok=True)
        found.append(leaf)
    return found


def joining(folders: Sequence[Path], command: Sequence[str]) -> list[str]:
    """A command line that puts its process into the groups and goes on as `command`."""
    join = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
    return ["/bin/sh", "-ec", join, "sh", *map(str, folders), "--", *command]


def names() -> set[str]:
    """The groups that exist, whoever made them."""
    entries = (entry for parent in _folders("") for entry in parent.iterdir())
    return {entry.name for entry in entries if entry.is_dir()}


def processes(name: str = "") -> set[int]:
    """The processes in the group and all below it; without a name, in all our groups."""
    return set(_pids(name))


def has_processes(name: str) -> bool:
    """Whether there are any; of a machine that runs the first look says so."""
    return any(_pids(name))


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
                if below.endswith(f"/{SCOPE}"):  # systemd's to remove; it ends by itself if empty
                    subprocess.run(["systemctl", "--quiet", "stop", SCOPE], capture_output=True)
                    continue
                with contextlib.suppress(OSError):
                    os.rmdir(below)
        return not any(_folders(name))

    if not wait_until(gone, seconds):
        left = " ".join(str(folder) for folder in _folders(name))
        raise CloudError(f"these cgroups cannot be removed: {left}")
    if not name:
        _give_back()


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


def _pids(name: str) -> Iterator[int]:
    """The processes in the group and all below it, as they are found; each hierarchy has them."""
    for folder in _folders(name):
        for below, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):  # a group that went away meanwhile is empty
                found = (Path(below) / "cgroup.procs").read_text().split()
                yield from (int(pid) for pid in found if pid != "0")


def _kill_once(name: str) -> set[int]:
    """Send SIGKILL to every process of the group; the result is who they were."""
    found = processes(name)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _make_room(top: Path) -> None:
    """Put processes of the top group itself into a leaf, where this is a container's: only of the
    host's the kernel allows both, and that one has no type."""
    if (top / "cgroup.type").exists() and (top / "cgroup.procs").read_text():
        (top / OTHERS).mkdir(exist_ok=True)
        _move(top, top / OTHERS)


def _give_back() -> None:
    """Take back what `_make_room` did; it found a group that had given nothing to others."""
    for top in (hierarchy.mount for hierarchy in hierarchies()):
        if (top / OTHERS).is_dir():
            given = (top / "cgroup.subtree_control").read_text().split()
            (top / "cgroup.subtree_control").write_text(" ".join(f"-{name}" for name in given))
            _move(top / OTHERS, top)
            (top / OTHERS).rmdir()


def _move(here: Path, there: Path) -> None:
    """Move all processes; those that a process of them starts meanwhile, too."""
    while pids := (here / "cgroup.procs").read_text().split():
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                (there / "cgroup.procs").write_text(pid)


def _ask_systemd(place: Path) -> None:
    """Have systemd make our scope, with a process that keeps it: it would end an empty one."""
    if place.is_dir():
        return
    keep = (
        'mkdir "$1"; echo $$ >"$1/cgroup.procs"; setsid sleep infinity </dev/null >/dev/null 2>&1 &'
    )
    run(
        ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={SCOPE}"]
        + ["--slice=system.slice", "--property=Delegate=yes", "--property=TasksMax=infinity"]
        + ["--description=Local cloud of Tinderbox"]
        + ["/bin/sh", "-ec", keep, "sh", str(place / SERVICES)]
    )


def _folders(name: str) -> Iterator[Path]:
    for _, parent in roots():
        folder = parent / name
        if folder.is_dir():
            yield folder
