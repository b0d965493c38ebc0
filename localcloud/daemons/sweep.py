"""What the local cloud leaves on a host, found and removed without trusting any record of it.

All that is ours is recognised by where it is: processes by our cgroups (or by id and start time, if
recorded), links, namespaces and the table by our names. Nothing is ended by its command's name.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

from localcloud.daemons import processes, record
from localcloud.daemons.processes import Process
from localcloud.host import cgroups, network
from localcloud.host.shell import run
from localcloud.layout import LOGS, RECORD, STATE, TABLE

NETNS = Path("/run/netns")
NSPAWN_TRACES = Path("/run/systemd/nspawn/propagate")
INSTANCE_ID = re.compile(r"i-[0-9a-f]{17}")


def leftovers() -> list[str]:
    """All of ours that is on this host, one line each; empty where the local cloud is down."""
    found = [f"process {pid} ({_command(pid)})" for pid in sorted(_processes())]
    found += [f"mount {place}" for place in mounts()]
    found += [f"cgroup {place}" for _, place in cgroups.roots() if place.is_dir()]
    found += [f"network namespace {name}" for name in sorted(network.namespaces())]
    found += [f"link {name}" for name in sorted(network.links())]
    if network.has_host_rules():
        found.append(f"nftables table ip {TABLE}")
    found += [f"folder {place}" for place in _traces()]
    if STATE.exists():
        found.append(f"folder {STATE}")
    return found


def mounts(text: str | None = None) -> list[str]:
    """Our mount points on the host, the innermost last; `text` is that of /proc/mounts."""
    ours = (f"{STATE}/", f"{NETNS}/{network.NETNS_PREFIX}")
    return [place for place in _mount_points(text) if place == str(STATE) or place.startswith(ours)]


def _mount_points(text: str | None) -> list[str]:
    text = Path("/proc/mounts").read_text() if text is None else text
    return [line.split()[1] for line in text.splitlines()]


def sweep(keep_logs: bool = False) -> None:
    """End and remove everything of ours, and put the host's settings back.

    The order is from users to used: processes, namespaces and links, mounts, cgroups, folders.
    Raises CloudError naming what cannot be removed.
    """
    for process in _recorded():
        processes.end(process, 1)
    cgroups.kill("")
    network.remove_everything()
    for place in reversed(mounts()):
        run(["umount", "--lazy", place])
    if NETNS.is_dir() and not any(NETNS.iterdir()):
        # `ip netns` mounts this folder on itself, two at once even twice, and leaves that.
        for _ in range(_mount_points(None).count(str(NETNS))):
            run(["umount", str(NETNS)])
        NETNS.rmdir()
    cgroups.remove("")
    put_back_settings()
    for place in _traces():
        with contextlib.suppress(OSError):
            place.rmdir()
    _empty(keep_logs)


def put_back_settings() -> None:
    """Give kernel settings that we raised their former values, if they are still as we set them."""
    known = record.load()
    for setting in known.settings if known else ():
        place = Path(setting.path)
        if place.read_text().strip() == setting.raised:
            place.write_text(setting.former)


def _empty(keep_logs: bool) -> None:
    """Delete the state folder, its record last: a sweep that is cut short starts from it again."""
    if not STATE.is_dir():
        return
    kept = {LOGS} if keep_logs else set()
    for entry in STATE.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            if entry not in kept:
                shutil.rmtree(entry)
        elif entry != RECORD:
            entry.unlink()
    RECORD.unlink(missing_ok=True)
    if not kept:
        STATE.rmdir()


def _recorded() -> list[Process]:
    """The recorded daemons that still run."""
    known = record.load()
    return list(known.alive.values()) if known else []


def _processes() -> set[int]:
    return cgroups.processes() | {process.pid for process in _recorded()}


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        return words.decode(errors="replace").strip()[:80]
    return "gone"


def _traces() -> list[Path]:
    """Folders that systemd-nspawn makes for each machine and leaves if it is killed."""
    if not NSPAWN_TRACES.is_dir():
        return []
    return [place for place in NSPAWN_TRACES.iterdir() if INSTANCE_ID.fullmatch(place.name)]
