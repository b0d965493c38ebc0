"""The local cloud as a whole: up and down."""

from __future__ import annotations

import hashlib
import json
import platform
import secrets
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from pathlib import Path

from localcloud import checks, mirror, releases
from localcloud.daemons import record, services, sweep
from localcloud.daemons.record import Record, Setting
from localcloud.errors import CloudError
from localcloud.host import cgroups, debian, network
from localcloud.layout import AMIS, ENDPOINT, HOSTS, LOGS, MACHINES, PULUMI, SHARED, STATE
from localcloud.machines import rootfs
from localcloud.mirror import own_images
from toolchain.locks import lock
from toolchain.paths import CHECKOUT

#: Debian's account on AWS, whose images the program looks for.
DEBIAN_OWNER = "136693071363"
#: Kernel settings that many machines on one host need higher than for one; by file.
SETTINGS = {
    "/proc/sys/fs/inotify/max_user_instances": 4096,
    "/proc/sys/fs/inotify/max_user_watches": 524288,
}


def up(progress: debian.Progress = print) -> None:
    """Start the local cloud, or what is missing of the one that runs; tells what it does.

    Raises CloudError with one line where the host does not allow it or the local cloud
    of another checkout runs. An `up` that fails or is interrupted leaves nothing running.
    """
    checks.require_host(progress)
    refuse_foreign()
    tree = rootfs.ensure(progress)
    built = mirror.ensure(progress)
    with _alone():
        refuse_foreign()
        known = record.load()
        if known is not None and services.answers(known.id):
            _start_missing(known, tree, built, progress)
            return
        if known is not None:
            progress(
                "the local cloud is gone (its API was killed or the host was started anew); "
                "discarding its machines and the local stack's Pulumi state"
            )
        elif sweep.leftovers():
            progress("removing what an earlier local cloud left")
        sweep.sweep()
        try:
            _begin(tree, built, progress)
        except BaseException:
            sweep.sweep(keep_logs=True)
            raise


def down(progress: debian.Progress = print, force: bool = False) -> None:
    """Take everything of the local cloud away, whatever state it is in.

    Raises CloudError if something cannot be removed or, without `force`, if the local cloud is that
    of another checkout.
    """
    debian.require_root("the local cloud")
    with _alone():
        if not force:
            refuse_foreign()
        if not sweep.leftovers():
            progress("no local cloud here")
            return
        began = time.monotonic()
        sweep.sweep()
        if left := sweep.leftovers():
            raise CloudError(f"not removed: {'; '.join(left)}")
        progress(f"the local cloud is down, nothing is left ({time.monotonic() - began:.1f} s)")


def refuse_foreign() -> None:
    """Raise CloudError if the local cloud of another checkout runs on this host."""
    known = record.load()
    if known is None or known.checkout == str(CHECKOUT) or not Path(known.checkout).is_dir():
        return  # a checkout that was deleted has nobody left to ask
    running = [process.pid for process in known.alive.values()] or sorted(cgroups.processes())
    if running:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(known.started))
        raise CloudError(
            f"a local cloud of {known.checkout} runs on this host (process {running[0]}, since "
            f"{since}), and there can be one; end it first: cd {known.checkout} && "
            "make destroy && python -m localcloud down (or here: python -m localcloud down --force)"
        )


def amis(tree: Path) -> list[dict[str, object]]:
    """moto's list of machine images, named as Debian's own are: two releases of the one tree."""
    kinds = {"x86_64": ("x86_64", "amd64"), "aarch64": ("arm64", "arm64")}
    architecture, short = kinds[platform.machine()]

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    return [
        {
            "ami_id": f"ami-{digest(f'{tree.parent.name} {day}')[:17]}",
            "name": f"debian-13-{short}-{day:%Y%m%d}-{build}",
            "description": "Debian 13, as a machine of the local cloud",
            "owner_id": DEBIAN_OWNER,
            "creation_date": f"{day}T00:00:00.000Z",
            "architecture": architecture,
            "public": True,
            "state": "available",
            "image_type": "machine",
            "image_location": "amazon/debian-13",
            "virtualization_type": "hvm",
            "hypervisor": "xen",
            "root_device_type": "ebs",
            "root_device_name": "/dev/xvda",
            "sriov": "simple",
        }
        for day, build in ((date(2026, 10, 1), 2253), (date(2026, 11, 1), 2284))
    ]


def _begin(tree: Path, built: mirror.Mirror, progress: debian.Progress) -> None:
    """Start from nothing."""
    began = time.monotonic()
    checks.require_free()
    STATE.mkdir(mode=0o700)
    for place in (LOGS, MACHINES, SHARED, PULUMI):
        place.mkdir(mode=0o700)
    passphrase = PULUMI / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(secrets.token_urlsafe(32) + "\n")
    HOSTS.touch()
    AMIS.write_text(json.dumps(amis(tree)))
    own_images.lay_out(built)
    releases.lay_out(built)
    known = Record(secrets.token_hex(8), str(CHECKOUT), time.time(), record.boot_id())
    known = replace(known, settings=_settings_to_raise())
    record.save(known)  # before the first change, so that any change can be taken back
    for setting in known.settings:
        Path(setting.path).write_text(setting.raised)
    network.make_bridge()
    _start(known, services.services(known.id, tree))
    progress(f"the local cloud is up: {ENDPOINT} ({time.monotonic() - began:.1f} s)")


def _start_missing(
    known: Record, tree: Path, built: mirror.Mirror, progress: debian.Progress
) -> None:
    """Start the daemons that died while the API, which holds the cloud's memory, lived on."""
    wanted = services.services(known.id, tree)
    missing = [service for service in wanted if service.name not in known.alive]
    network.make_bridge()
    if missing:
        progress(f"starting again: {', '.join(service.name for service in missing)}")
        _start(known, missing)
    progress(f"the local cloud is up already: {ENDPOINT}")


def _start(known: Record, wanted: list[services.Service]) -> None:
    """Start daemons side by side, each recorded before the next, and wait until all are ready."""
    started = dict(known.processes)
    for service in wanted:
        started[service.name] = services.start(service)
        record.save(replace(known, processes=started))
    for service in wanted:
        services.wait_ready(service, started[service.name])


def _settings_to_raise() -> list[Setting]:
    """Those of SETTINGS that are lower than needed."""
    found = [(path, Path(path).read_text().strip(), need) for path, need in SETTINGS.items()]
    return [Setting(path, now, str(need)) for path, now, need in found if int(now) < need]


def _alone() -> AbstractContextManager[None]:
    return lock("localcloud", "another `localcloud up` or `down`")
