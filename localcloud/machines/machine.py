"""One machine: a systemd-nspawn container that passes for an EC2 instance.

machines/<instance id>/
  machine.json   what we know of it
  upper, work    what it changed of the root file system (overlay on the shared image)
  root           where its root is mounted, seen only by its own processes
  disks          folders that must not lie on an overlay: containerd's, kubelet's, etcd's
  console.log    what it says at boot
  exit           how it ended by itself
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from localcloud.api.wanted import Instance
from localcloud.errors import CloudError
from localcloud.host import cgroups, debian, network
from localcloud.host.shell import wait_until
from localcloud.layout import MACHINES, SHARED, TRASH
from localcloud.machines import seed
from localcloud.machines.seen import EXIT_REBOOT, Machine

LAUNCH = Path(__file__).with_name("launch.sh")
#: containerd's snapshots are overlays and cannot lie on one; etcd wants a plain file system.
DISKS = ("containerd", "kubelet", "etcd")
#: What systemd as the first process takes as an order to shut down or to boot again.
POWER_OFF, RESTART = signal.SIGRTMIN + 4, signal.SIGRTMIN + 5
#: How long a machine may take to shut down before its plug is pulled, in seconds.
GRACE = 20


@dataclass(frozen=True)
class Record:
    """machine.json: what must be known of a machine after a restart of the reconciler."""

    rootfs: str
    memory: int | None = None  # its limit since the latest start, bytes
    stopped: bool = False
    reboots: int = 0
    started: float | None = None  # seconds since the epoch, as below
    deaths: list[float] = field(default_factory=list)  # the latest few


def folder(instance_id: str) -> Path:
    """The machine's folder."""
    return MACHINES / instance_id


def record(instance_id: str) -> Record | None:
    """What is known of the machine; None if it is not there or was not made to the end."""
    try:
        return Record(**json.loads((folder(instance_id) / "machine.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def create(
    instance: Instance,
    rootfs: Path,
    public_key: str | None,
    user_data: bytes,
) -> None:
    """Lay out the machine's folder."""
    remove(instance.id)
    place = folder(instance.id)
    for name in ("upper", "work", "root", *(f"disks/{disk}" for disk in DISKS)):
        (place / name).mkdir(parents=True)
    for file in [*seed.files(instance, public_key, user_data), *_kernel_config()]:
        _write(place / "upper", rootfs, file)
    wants = place / "upper/etc/systemd/system/sysinit.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / Path(seed.UNIT).name).symlink_to(f"/{seed.UNIT}")
    _save(instance.id, Record(str(rootfs)))


def _kernel_config() -> list[seed.File]:
    """The running kernel's configuration where an EC2 machine has it, for kubeadm to read."""
    release = platform.release()
    text = debian.kernel_config(release)
    return [] if text is None else [seed.File(f"boot/config-{release}", text)]


def _write(upper: Path, rootfs: Path, file: seed.File) -> None:
    """Write a file into the machine's layer; folders get the mode that the image gives them."""
    target = upper / file.path
    for below in reversed(Path(file.path).parents[:-1]):
        made = upper / below
        if not made.is_dir():
            made.mkdir()
            image = rootfs / below
            made.chmod(image.stat().st_mode & 0o7777 if image.is_dir() else 0o755)
    target.write_bytes(file.content)
    target.chmod(file.mode)


def start(instance: Instance, rules: str, reboots: int, memory: int | None) -> None:
    """Start the machine, its network guarded by `rules` from the first packet on.

    `reboots` is the API's count of reboots and stops, all of which this start fulfils; `memory`
    the limit in bytes that its type has now.
    """
    known = record(instance.id)
    if known is None:
        raise CloudError(f"machine {instance.id} has no record")
    place = folder(instance.id)
    cgroups.kill(instance.id)
    cgroups.remove(instance.id)
    died = known.started and not known.stopped and _exit_code(instance.id) != EXIT_REBOOT
    deaths = [*known.deaths[-9:], time.time()] if died else known.deaths
    (place / "exit").unlink(missing_ok=True)
    shared = SHARED / instance.vpc
    shared.mkdir(parents=True, exist_ok=True)
    if memory is not None:
        _write(place / "upper", Path(known.rootfs), seed.File(seed.MEMORY, seed.meminfo(memory)))
    network.plug_in(instance, rules)
    groups = cgroups.create(instance.id, memory)
    launch = ["unshare", "--mount", "--propagation", "slave", str(LAUNCH), str(place)]
    launch += [known.rootfs, *cgroups.joining(groups, nspawn(instance, place, shared))]
    with (place / "console.log").open("ab") as console:
        subprocess.Popen(
            cgroups.joining(cgroups.leaves(groups), launch),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd="/",
            env={
                **os.environ,
                "SYSTEMD_NSPAWN_USE_CGNS": "1",
                "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes",
            },
            start_new_session=True,
        )
    known = Record(known.rootfs, memory, False, reboots, time.time(), deaths)
    _save(instance.id, known)
    if not wait_until(lambda: bool(leader(instance.id)) or _exit_code(instance.id) is not None, 20):
        raise CloudError(f"machine {instance.id} does not start; see {place}/console.log")


def nspawn(instance: Instance, place: Path, shared: Path) -> list[str]:
    """systemd-nspawn's command line for the machine."""
    binds = [f"--bind={place}/disks/{disk}:/var/lib/{disk}" for disk in DISKS]
    return [
        "systemd-nspawn",
        "--quiet",
        f"--directory={place}/root",
        f"--machine={instance.id}",
        f"--hostname={instance.dns_name.partition('.')[0]}",
        f"--uuid={uuid.uuid5(uuid.NAMESPACE_DNS, instance.id)}",
        f"--network-namespace-path={network.namespace_path(instance.id)}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--register=no",
        "--keep-unit",
        "--capability=all",
        "--system-call-filter=add_key keyctl bpf perf_event_open",
        "--bind=/dev/kmsg",
        f"--bind={shared}:/srv/shared",
        *binds,
        "--boot",
    ]


def stop(instance_id: str) -> None:
    """Shut the machine down: asked first, its plug pulled after a while. Its folder stays."""
    _order(instance_id, POWER_OFF)
    if known := record(instance_id):
        _save(instance_id, replace(known, stopped=True))
    _clear(instance_id)


def reboot(instance: Instance, rules: str, reboots: int, memory: int | None) -> None:
    """Shut the machine down and start it again; arguments as for `start`."""
    _order(instance.id, RESTART)
    start(instance, rules, reboots, memory)


def remove(instance_id: str) -> None:
    """End the machine at once and remove all of it; one that is not there is fine."""
    _clear(instance_id)
    if folder(instance_id).exists():
        # Off the list at once; deleting gigabytes of images takes its time.
        TRASH.mkdir(exist_ok=True)
        trash = TRASH / f"{instance_id}-{time.monotonic_ns()}"
        folder(instance_id).rename(trash)
        shutil.rmtree(trash)


def clean(vpcs: Collection[str]) -> None:
    """Delete what no machine can come back to: folders in the trash, shared ones of gone VPCs."""
    old = [place for place in _entries(SHARED) if place.name not in vpcs]
    for place in [*old, *_entries(TRASH)]:
        shutil.rmtree(place, ignore_errors=True)


def _clear(instance_id: str) -> None:
    """End the machine's processes and remove all that it has outside of its folder."""
    cgroups.kill(instance_id)
    cgroups.remove(instance_id)
    network.unplug(instance_id)
    # systemd-nspawn's own trace, left where it was killed.
    with contextlib.suppress(OSError):
        os.rmdir(f"/run/systemd/nspawn/propagate/{instance_id}")


def _order(instance_id: str, number: int) -> None:
    """Send the machine's first process an order and wait until it has ended, or time is up."""
    first = leader(instance_id)
    if first is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, number)
        wait_until(lambda: not cgroups.processes(instance_id), GRACE, 0.1)


def observe() -> list[Machine]:
    """All machines that there are, or that are left in part."""
    ids = {place.name for place in _entries(MACHINES)}
    return [_observe(id) for id in sorted(ids | (cgroups.names() - {cgroups.SERVICES}))]


def _observe(instance_id: str) -> Machine:
    alive = cgroups.has_processes(instance_id)
    known = record(instance_id)
    if known is None:
        # Its maker was killed half way, or a part of a removed one is left.
        return Machine(instance_id, alive, complete=False)
    minute_ago = time.time() - 60
    recent = sum(moment > minute_ago for moment in known.deaths)
    code = _exit_code(instance_id)
    # Without its nspawn (killed by someone) a machine lives on, but nobody would see its end.
    alive = alive and code is None
    return Machine(instance_id, alive, code, known.stopped, known.reboots, recent)


def _exit_code(instance_id: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((folder(instance_id) / "exit").read_text())
    return None


def leader(instance_id: str) -> int | None:
    """The machine's first process (its systemd), by its id on the host; None if there is none."""
    for pid in cgroups.processes(instance_id):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            ids = status.partition("NSpid:")[2].split("\n", 1)[0].split()
            # Pods have a third namespace: their first processes are 1 only in there.
            if len(ids) == 2 and ids[1] == "1":
                return pid
    return None


def booted(instance_id: str) -> bool:
    """Whether cloud-init has finished since the machine's latest start."""
    known = record(instance_id)
    try:
        done = (folder(instance_id) / "upper" / seed.FINISHED.format(instance_id)).stat().st_mtime
    except OSError:
        return False
    return known is not None and known.started is not None and done > known.started


def _entries(place: Path) -> list[Path]:
    return list(place.iterdir()) if place.is_dir() else []


def _save(instance_id: str, known: Record) -> None:
    """Write machine.json, whole or not at all."""
    place = folder(instance_id) / "machine.json"
    scratch = place.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(known)))
    scratch.rename(place)
