"""Further releases in the mirror of the local cloud that is up: of Kubernetes, and of Spark.

    known()                 ["1.34.10", "1.35.8", "1.36.5", "1.37.2"]
    offer("1.36.5")         machines can install it and pull its images from now on
    known_sparks()          ["3.5.9", "4.0.5", "4.1.4"]
    offer_spark("4.1.4")    so can pods be of docker.io/apache/spark:4.1.4-python3

They are built when somebody asks, once: binaries and images stay in the cache.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

from localcloud import layout, mirror
from localcloud.errors import CloudError
from localcloud.host import debian
from localcloud.mirror import images, own_images, packages, registry, repository
from toolchain import builds, paths
from toolchain.locks import lock
from toolchain.versions import GoModule, at, pins, releases

STATIC = layout.STATE / "static"


def lay_out(built: mirror.Mirror) -> None:
    """Make what this cloud serves of the mirror's packages: links, so that more can come in."""
    shutil.copytree(built.static, STATIC, copy_function=images.link)


def serve_command() -> list[str]:
    """The command that serves them to machines, until it is killed."""
    return mirror.serve_commands(mirror.Mirror(layout.STATE), layout.HOST_ADDRESS)[0]


def known() -> list[str]:
    """The releases of Kubernetes that can be offered besides the mirror's own."""
    return [module.version.removeprefix("v") for module in _modules()]


def known_sparks() -> list[str]:
    """The versions of Spark that can be offered besides the mirror's own."""
    return list(further_sparks())


def further_sparks() -> dict[str, images.Image]:
    """Their images by their versions."""
    found = map(images.spark, pins()["spark"]["further"])
    return {image.pinned: image for image in found}


def offer(version: str, progress: debian.Progress = print) -> None:
    """Build the release where it is not built, and put it beside what machines are served.

    Raises CloudError or ToolchainError with the line to show.
    """
    module = next((m for m in _modules() if m.version == f"v{version}"), None)
    if module is None:
        raise CloudError(f"there is no release {version}; there are: {', '.join(known())}")
    _prepare("to build a release", progress)
    pictures = release_images(module)
    builds.build([*module.commands, *(name for image in pictures for name in image.binaries)])
    with _scratch() as scratch:
        _offer_images(pictures, scratch, progress)  # first: a package without is worse
        _offer_packages(module, scratch)
    progress(f"the mirror has Kubernetes {version}")


def offer_spark(version: str, progress: debian.Progress = print) -> None:
    """The same of Spark, as an image of PyPI's pyspark. Raises CloudError."""
    image = further_sparks().get(version)
    if image is None:
        raise CloudError(f"there is no Spark {version}; there are: {', '.join(known_sparks())}")
    _prepare("to build an image", progress)
    with _scratch() as scratch:
        _offer_images([image], scratch, progress)
    progress(f"the mirror has Spark {version}: set spark.image to {image.reference}")


def _prepare(what_for: str, progress: debian.Progress) -> None:
    if not own_images.CONFIG.exists():
        raise CloudError("the local cloud is not up, so there is nothing to put it into: make up")
    debian.ensure_packages(mirror.HOST_PACKAGES, what_for, progress)


@contextlib.contextmanager
def _scratch() -> Generator[Path]:
    """A passing folder in the mirror's, which is this process's own for that time."""
    with (
        lock("mirror", "the build of the mirror"),
        tempfile.TemporaryDirectory(prefix=".new-", dir=_base()) as folder,
    ):
        yield Path(folder)


def _base() -> Path:
    return paths.cache_dir() / "mirror"


def _modules() -> list[GoModule]:
    """Those of Kubernetes."""
    return [m for m in releases() if m.name == "kubernetes"]


def _offer_packages(module: GoModule, scratch: Path) -> None:
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
    repository.flat(new, repository.Signer(_base() / "key"), fields)
    for file in sorted(new.iterdir(), key=lambda file: file.suffix != ".deb"):
        os.replace(shutil.copy(file, served / f".{file.name}"), served / file.name)


def release_packages(module: GoModule) -> Iterator[packages.Package]:
    """The packages whose programs are of this release, in its version."""
    version = module.version.removeprefix("v")
    for package in packages.kubernetes():
        binaries = {path: at(name, module.version) for path, name in package.binaries.items()}
        if set(binaries.values()) <= set(module.commands):
            yield dataclasses.replace(package, version=f"{version}-1.1", binaries=binaries)


def release_images(module: GoModule) -> list[images.Image]:
    """What this release of Kubernetes, and what it needs, has of images that the mirror lacks."""
    there = {image.reference for image in images.catalogue()}
    found = images.catalogue({module.name: module.version, **module.needs})
    return [image for image in found if image.reference not in there]


def _offer_images(
    pictures: Iterable[images.Image], scratch: Path, progress: debian.Progress
) -> None:
    buildah = images.Buildah(_base() / "buildah")
    config = scratch / "registry.yml"
    registry.write_config(config, own_images.STORE, readonly=False)
    with registry.running(config) as address:
        for image in pictures:
            name = f"{image.folder}-{image.tag}"
            images.ensure(buildah, image, name, scratch)
            buildah.push(name, f"{address}/{image.mirrored}")
            progress(f"image {image.reference}")
