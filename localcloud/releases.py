"""Further releases of Kubernetes in the mirror of the local cloud that is up: what to upgrade to.

    known()              ["1.36.5"]
    offer("1.36.5")      machines can install it and pull its images from now on

They are built when somebody asks, once: binaries and images stay in the cache.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from localcloud import layout, mirror
from localcloud.errors import CloudError
from localcloud.host import debian
from localcloud.mirror import images, own_images, packages, registry, repository
from toolchain import builds, paths
from toolchain.locks import lock
from toolchain.versions import GoModule, at, go_modules, releases

STATIC = layout.STATE / "static"


def lay_out(built: mirror.Mirror) -> None:
    """Make what this cloud serves of the mirror's packages: links, so that more can come in."""
    shutil.copytree(built.static, STATIC, copy_function=images.link)


def serve_command() -> list[str]:
    """The command that serves them to machines, until it is killed."""
    return mirror.serve_commands(mirror.Mirror(layout.STATE), layout.HOST_ADDRESS)[0]


def known() -> list[str]:
    """The releases that can be offered besides the mirror's own."""
    return [module.version.removeprefix("v") for module in _modules()]


def offer(version: str, progress: debian.Progress = print) -> None:
    """Build the release where it is not built, and put it beside what machines are served.

    Raises CloudError or ToolchainError with the line to show.
    """
    module = next((m for m in _modules() if m.version == f"v{version}"), None)
    if module is None:
        raise CloudError(f"there is no release {version}; there are: {', '.join(known())}")
    if not own_images.CONFIG.exists():
        raise CloudError("the local cloud is not up, so there is nothing to put it into: make up")
    debian.ensure_packages(mirror.HOST_PACKAGES, "to build a release", progress)
    builds.build(module.commands)
    base = paths.cache_dir() / "mirror"
    with (
        lock("mirror", "the build of the mirror"),
        tempfile.TemporaryDirectory(prefix=".new-", dir=base) as folder,
    ):
        scratch = Path(folder)
        _offer_images(module, base, scratch, progress)  # first: a package without is worse
        _offer_packages(module, base, scratch)
    progress(f"the mirror has Kubernetes {version}")


def _modules() -> list[GoModule]:
    """Those of Kubernetes."""
    return [m for m in releases().values() if m.module == go_modules()["kubernetes"].module]


def _offer_packages(module: GoModule, base: Path, scratch: Path) -> None:
    minor = module.version.rpartition(".")[0]
    served = STATIC / "core:" / "stable:" / minor / "deb"
    new = scratch / "deb"
    new.mkdir()
    for package in release_packages(module):
        packages.build(package, Path(), new)
    served.mkdir(parents=True, exist_ok=True)
    for package in packages.kubernetes():  # what else such a repository holds
        if not list(served.glob(f"{package.name}_*")) and not list(new.glob(f"{package.name}_*")):
            packages.build(package, Path(), new)
    # The index as a whole is made aside: a machine may be reading the one that is served.
    for deb in served.glob("*.deb"):
        if not (new / deb.name).exists():
            images.link(deb, new / deb.name)
    fields = {"Origin": "Tinderbox", "Label": f"Kubernetes {minor}"}
    repository.flat(new, repository.Signer(base / "key"), fields)
    for file in sorted(new.iterdir(), key=lambda file: file.suffix != ".deb"):
        os.replace(shutil.copy(file, served / f".{file.name}"), served / file.name)


def release_packages(module: GoModule) -> Iterator[packages.Package]:
    """The packages whose programs are of this release, in its version."""
    version = module.version.removeprefix("v")
    for package in packages.kubernetes():
        binaries = {path: at(name, module.version) for path, name in package.binaries.items()}
        if set(binaries.values()) <= set(module.commands):
            yield dataclasses.replace(package, version=f"{version}-1.1", binaries=binaries)


def release_images(module: GoModule) -> Iterator[images.Image]:
    """The images whose programs are of this release, with its tag."""
    for image in images.catalogue():
        binaries = tuple(at(name, module.version) for name in image.binaries)
        if binaries and set(binaries) <= set(module.commands):
            yield dataclasses.replace(image, tag=module.version, binaries=binaries)


def _offer_images(module: GoModule, base: Path, scratch: Path, progress: debian.Progress) -> None:
    buildah = images.Buildah(base / "buildah")
    config = scratch / "registry.yml"
    registry.write_config(config, own_images.STORE, readonly=False)
    with registry.running(config) as address:
        for image in release_images(module):
            name = f"{image.folder}-{image.tag}"
            images.ensure(buildah, image, name, scratch)
            buildah.push(name, f"{address}/{image.mirrored}")
            progress(f"image {image.reference}")
