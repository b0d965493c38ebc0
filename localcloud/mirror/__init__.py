"""The mirror: what the local cloud's nodes install from, since they have no internet.

static/    served at :8080   packages under upstream's paths, charts
registry/  served at :5000   images under upstream's names, without the registry's

mirror = ensure(print)                            # builds what is missing
commands = serve_commands(mirror, "10.43.0.1")    # what serves it
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from localcloud.host import debian
from localcloud.machines import rootfs
from localcloud.mirror import charts, images, packages, registry, repository
from toolchain import builds, paths
from toolchain.locks import lock
from toolchain.versions import go_modules

STATIC_PORT = 8080
REGISTRY_PORT = 5000

HOST_PACKAGES = (
    *rootfs.HOST_PACKAGES,
    "apt-utils",
    "buildah",
    "docker-registry",
    "dpkg",
)


@dataclass(frozen=True)
class Mirror:
    """A mirror that is built: plain files in one folder."""

    folder: Path

    @property
    def static(self) -> Path:
        """What the web server serves as its root."""
        return self.folder / "static"

    @property
    def registry_config(self) -> Path:
        """docker-registry's configuration (read-only)."""
        return self.folder / "registry.yml"


def location() -> Path:
    """The folder of the mirror for this checkout, whether it is there yet or not."""
    here = Path(__file__).parent
    sources = [f for f in here.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    binaries = sorted(builds.location(name).parent.name for name in _binaries())
    pictures = [images.image_key(image) for image in images.catalogue()]
    digest = paths.digest_of(paths.digest_of_files(here, sources), *binaries, *pictures)
    return paths.cache_dir() / "mirror" / digest[:12]


def ensure(progress: debian.Progress = print) -> Mirror:
    """The mirror, built where it is not there yet.

    Complete or not at all; a build that was interrupted goes on with the images that it has.
    Raises CloudError or ToolchainError with the line to show.
    """
    place = location()
    if not place.is_dir():
        debian.require_root("the mirror")
        debian.ensure_packages(HOST_PACKAGES, "to build and serve the mirror", progress)
        with lock("mirror", "the build of the mirror"):
            if not place.is_dir():
                _build(place, progress)
    os.utime(place)  # what is used is not the oldest
    return Mirror(place)


def serve_commands(mirror: Mirror, address: str) -> list[list[str]]:
    """The commands that serve the mirror at `address` (an IP address): static files, registry.

    Each runs in the foreground until it is killed.
    """
    return [
        [
            *(sys.executable, "-m", "http.server", "--protocol", "HTTP/1.1"),
            *("--bind", address, "--directory", str(mirror.static), str(STATIC_PORT)),
        ],
        registry.serve_command(mirror.registry_config, f"{address}:{REGISTRY_PORT}"),
    ]


def _binaries() -> set[str]:
    return packages.binaries() | images.binaries() | {"helm"}


def _build(place: Path, progress: debian.Progress) -> None:
    """Make the mirror's folder at `place`; the lock is held."""
    began = time.monotonic()
    builds.build(sorted(_binaries(), key=builds.names().index))
    base = place.parent
    base.mkdir(parents=True, exist_ok=True)
    for leftover in base.glob(".new-*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=base) as folder:
        new, scratch = Path(folder) / "mirror", Path(folder) / "scratch"
        new.mkdir()
        scratch.mkdir()
        progress("mirror [1/4] packages")
        _build_packages(new / "static", base / "key", scratch)
        progress("mirror [2/4] charts")
        charts.build(new / "static", scratch)
        progress("mirror [3/4] images")
        buildah = images.Buildah(base / "buildah")
        buildah.clean()
        built = images.build(buildah, scratch, lambda line: progress(f"mirror [3/4] {line}"))
        progress("mirror [4/4] registry")
        _fill_registry(buildah, built, new, scratch)
        buildah.clean()
        registry.write_config(new / "registry.yml", place / "registry", readonly=True)
        new.rename(place)
    _forget_old(base, place)
    progress(f"mirror: ready, {time.monotonic() - began:.0f} s")


def _build_packages(static: Path, key: Path, scratch: Path) -> None:
    """Both apt repositories, under upstream's paths."""
    signer = repository.Signer(key)
    signer.ensure()
    rootfs.debootstrap(scratch / "runc", "extract", ["runc"])
    runc = scratch / "runc" / "usr" / "sbin" / "runc"

    minor = ".".join(go_modules()["kubernetes"].version.split(".")[:2])
    flat = static / "core:" / "stable:" / minor / "deb"
    flat.mkdir(parents=True)
    for package in packages.kubernetes():
        packages.build(package, runc, flat)
    repository.flat(flat, signer, {"Origin": "Tinderbox", "Label": f"Kubernetes {minor}"})

    docker = static / "linux" / "debian"
    pool = docker / "dists" / rootfs.SUITE / "pool" / "stable" / "amd64"
    pool.mkdir(parents=True)
    for package in packages.docker():
        packages.build(package, runc, pool)
    fields = {"Origin": "Tinderbox", "Label": "Docker CE"}
    repository.suite(docker, rootfs.SUITE, "stable", signer, fields)


def _fill_registry(
    buildah: images.Buildah, built: list[images.Image], new: Path, scratch: Path
) -> None:
    """Push the images into a registry whose store is `new`/registry."""
    config = scratch / "registry.yml"
    registry.write_config(config, new / "registry", readonly=False)
    with registry.running(config) as address:
        for image in built:
            buildah.push(image.folder, f"{address}/{image.mirrored}")


def _forget_old(base: Path, place: Path) -> None:
    """Keep this mirror and the one before (a cloud may still serve it); older ones are dropped."""
    others = [f for f in base.iterdir() if (f / "registry.yml").is_file() and f != place]
    others.sort(key=lambda f: f.stat().st_mtime, reverse=True)
    for old in others[1:]:
        # Renamed first, so that what is half deleted is never taken for a mirror.
        doomed = base / f".new-old-{old.name}"
        os.rename(old, doomed)
        shutil.rmtree(doomed)
