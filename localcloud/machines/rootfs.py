"""Debian trees made by mmdebstrap: the machines' root file system, and layers for images."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.host import debian
from toolchain import paths
from toolchain.locks import lock

SUITE = "trixie"
RECIPE = Path(__file__).parents[1] / "images" / "rootfs"

#: Never unpacked: documentation and translations, which are half of a small Debian.
EXCLUDES = (
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/i18n/*",
)

HOST_PACKAGES = ("mmdebstrap", "debian-archive-keyring", "gpg", "util-linux")


def packages() -> list[str]:
    """The Debian packages of a machine, from the recipe's list."""
    lines = (line.strip() for line in (RECIPE / "packages").read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def base_key() -> str:
    """What every tree made here depends on, as a digest."""
    return paths.digest_of(SUITE, *EXCLUDES)


def location() -> Path:
    """The folder of the machines' tree, whether it is there yet or not."""
    # Not keyed by the archive's state: a machine image is as old as its making, like an AMI.
    digest = paths.digest_of(base_key(), RECIPE / "packages", RECIPE / "customize.sh")
    return paths.cache_dir() / "rootfs" / digest[:12] / "root"


def ensure(progress: debian.Progress = print) -> Path:
    """The machines' root file system (a folder owned by root), made if it is not there.

    The folder is a master copy: give each machine its own, never run one in it. Raises CloudError
    where root, a package or the Debian archive is missing.
    """
    place = location()
    if place.is_dir():
        return place
    debian.require_root("the machines' root file system")
    debian.ensure_packages(HOST_PACKAGES, "to make machines", progress)
    with lock("rootfs", "the machines' root file system"):
        if not place.is_dir():
            began = time.monotonic()
            progress(f"machine image: Debian {SUITE} by mmdebstrap ...")
            debootstrap(
                place, "minbase", packages(), [f"--customize-hook={RECIPE / 'customize.sh'}"]
            )
            progress(f"machine image: ready, {time.monotonic() - began:.0f} s")
    return place


def debootstrap(
    place: Path,
    variant: str,
    include: Sequence[str],
    options: Sequence[str] = (),
    suite: str = SUITE,
) -> None:
    """Make a Debian tree at `place` (NAME.tar: an archive) by mmdebstrap, complete or not at all.

    `variant` is mmdebstrap's: "minbase" for a system with apt, "extract" for unpacked files only.
    Raises CloudError with mmdebstrap's last words if it fails.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    for leftover in place.parent.glob(f".{place.name}.*"):
        shutil.rmtree(leftover)  # an earlier run was killed; the caller's lock makes it ours
    scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        command = [
            # In namespaces that die with this process, however that ends, with all their mounts.
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            "mmdebstrap",
            "--mode=root",
            f"--variant={variant}",
            f"--format={'tar' if place.suffix == '.tar' else 'directory'}",
            "--quiet",
            *([f"--include={','.join(include)}"] if include else []),
            *EXCLUDES,
            *(f'--aptopt={name} "{url}"' for name, url in debian.apt_proxies().items()),
            *options,
            suite,
            str(scratch / place.name),
            "-",
        ]
        done = subprocess.run(
            command,
            input=debian.debian_sources(suite),
            capture_output=True,
            text=True,
            check=False,
            # The caller's locale is not there inside, and perl would say so on each line.
            env={**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(scratch)},
        )
        if done.returncode != 0:
            words = done.stderr.strip().splitlines()[-3:]
            raise CloudError(f"mmdebstrap failed: {' / '.join(words) or 'no message'}")
        (scratch / place.name).rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
