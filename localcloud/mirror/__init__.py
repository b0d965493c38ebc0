"""The mirror: what the local cloud's nodes install from, since they have no internet.

static/    served at :8080   packages under upstream's paths, charts
registry/  served at :5000   images under upstream's names, without the registry's

mirror = ensure(print)                            # takes upstream's, builds what can't be had
commands = serve_commands(mirror, "10.43.0.1")    # what serves it
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from localcloud.host import debian
from localcloud.machines import rootfs
from localcloud.mirror import charts, images, packages, registry, repository, upstream
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
    of_packages = packages.binaries([*packages.kubernetes(), *packages.docker()])
    return of_packages | images.binaries() | {"helm"}


def _build(place: Path, progress: debian.Progress) -> None:
    """Make the mirror's folder at `place`; the lock is held."""
    began = time.monotonic()
    base = place.parent
    base.mkdir(parents=True, exist_ok=True)
    for leftover in base.glob(".new-*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=base) as folder:
        new, scratch = Path(folder) / "mirror", Path(folder) / "scratch"
        new.mkdir()
        scratch.mkdir()
        buildah = images.Buildah(base / "buildah")
        buildah.clean()
        pictures = images.catalogue()
        progress("mirror [1/4] what upstream has, where it can be reached")
        named = {one.folder: one for one in pictures}
        missing = upstream.take_images(buildah, named, scratch, progress)
        minor = go_modules()["kubernetes"].version.rpartition(".")[0]
        repositories = [
            one
            for one in (kubernetes(new / "static", minor), docker(new / "static"))
            if not upstream.take_packages(one.upstream, one.packages, one.folder, progress)
        ]
        of_packages = (name for one in repositories for name in packages.binaries(one.packages))
        binaries = {*of_packages, *(name for image in missing for name in image.binaries)}
        builds.build(sorted(binaries, key=builds.names().index))
        progress("mirror [2/4] packages")
        _build_packages(repositories, base / "key", scratch)
        progress("mirror [3/4] charts")
        charts.build(new / "static", scratch, progress)
        progress("mirror [4/4] images")
        images.build(buildah, missing, scratch, lambda line: progress(f"mirror [4/4] {line}"))
        _fill_registry(buildah, pictures, new, scratch)
        buildah.clean()
        registry.write_config(new / "registry.yml", place / "registry", readonly=True)
        new.rename(place)
    _forget_old(base, place)
    progress(f"mirror: ready, {time.monotonic() - began:.0f} s")


@dataclass(frozen=True)
class Repository:
    """A repository of packages, in the folder that has upstream's paths, and how it is indexed."""

    upstream: upstream.Repository
    packages: list[packages.Package]
    folder: Path
    pool: str
    index: Callable[[Path, repository.Signer], None]

    def build(self, those: Iterable[packages.Package], runc: Path, key: Path, into: Path) -> None:
        """Makes it in the folder `into`, of these packages and those that are in its pool there."""
        signer = repository.Signer(key)
        signer.ensure()
        pool = into / self.pool
        pool.mkdir(parents=True, exist_ok=True)
        for package in those:
            packages.build(package, runc, pool)
        self.index(into, signer)


def kubernetes(static: Path, minor: str) -> Repository:
    """Kubernetes' repository of one minor version, such as v1.36."""
    return Repository(
        upstream.kubernetes(minor),
        packages.kubernetes(),
        static / "core:" / "stable:" / minor / "deb",
        "",
        functools.partial(repository.flat, label=f"Kubernetes {minor}"),
    )


def docker(static: Path) -> Repository:
    """Docker's, which has containerd."""
    named = {"name": rootfs.SUITE, "component": "stable", "label": "Docker CE"}
    return Repository(
        upstream.docker(),
        packages.docker(),
        static / "linux" / "debian",
        f"dists/{rootfs.SUITE}/pool/stable/amd64",
        functools.partial(repository.suite, **named),
    )


def _build_packages(repositories: list[Repository], key: Path, scratch: Path) -> None:
    """These apt repositories, of packages that are built here."""
    if not repositories:
        return
    rootfs.debootstrap(scratch / "runc", "extract", ["runc"])
    for one in repositories:
        one.build(one.packages, scratch / "runc" / "usr" / "sbin" / "runc", key, one.folder)


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
