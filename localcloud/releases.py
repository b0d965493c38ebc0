"""Further releases in the mirror of the local cloud that is up: Kubernetes, containerd, Spark.

    known()                 ["1.34.10", "1.35.8", "1.36.5", "1.37.2"]
    offer("1.36.5")         machines can install it and pull its images from now on
    known_containerds()     ["2.4.1"]
    offer_containerd("2.4.1")  the same of containerd.io
    known_sparks()          ["3.5.9", "4.0.5", "4.1.4"]
    offer_spark("4.1.4")    so can pods be of docker.io/apache/spark:4.1.4-python3

They are taken from upstream or built when somebody asks, once: images stay in the cache.
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
from localcloud.host.shell import run
from localcloud.mirror import images, own_images, packages, registry, upstream
from localcloud.mirror.repository import ORIGIN
from toolchain import builds, paths
from toolchain.locks import lock
from toolchain.versions import GoModule, at, go_modules, pins, releases

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


def known_containerds() -> list[str]:
    """The releases of containerd that can be offered besides the mirror's own."""
    return [module.version.removeprefix("v") for module in _modules("containerd")]


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
    module = _module("release", known(), "kubernetes", version)
    repository = mirror.kubernetes(STATIC, module.version.rpartition(".")[0])
    _offer(module, release_images(module), repository, progress)
    progress(f"the mirror has Kubernetes {version}")


def offer_containerd(version: str, progress: debian.Progress = print) -> None:
    """The same of containerd, in Docker's repository. Raises CloudError or ToolchainError."""
    module = _module("containerd", known_containerds(), "containerd", version)
    _offer(module, [], mirror.docker(STATIC), progress)
    progress(f"the mirror has containerd {version}")


def offer_spark(version: str, progress: debian.Progress = print) -> None:
    """The same of Spark, as an image of PyPI's pyspark. Raises CloudError."""
    image = further_sparks().get(version)
    if image is None:
        raise CloudError(f"there is no Spark {version}; there are: {', '.join(known_sparks())}")
    _prepare("to build an image", progress)
    with _scratch() as scratch:
        _take_images([image], scratch, progress)
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


def _modules(name: str = "kubernetes") -> list[GoModule]:
    """The further releases of a module."""
    return [m for m in releases() if m.name == name]


def _module(what: str, there: Iterable[str], name: str, version: str) -> GoModule:
    found = next((m for m in _modules(name) if m.version == f"v{version}"), None)
    if found is None:
        raise CloudError(f"there is no {what} {version}; there are: {', '.join(there)}")
    return found


def _offer(
    module: GoModule,
    pictures: list[images.Image],
    repository: mirror.Repository,
    progress: debian.Progress,
) -> None:
    """Puts a release's images and packages beside what is served: upstream's, or built here."""
    _prepare("to build a release", progress)
    wanted = list(release_packages(module, repository.packages))
    with _scratch() as scratch:
        new = scratch / "packages"
        taken = not _is_built_here(repository) and upstream.take_packages(
            repository.upstream, wanted, new, progress
        )
        if not taken and repository.folder.exists() and not _is_built_here(repository):
            raise CloudError(
                f"the mirror has {repository.upstream.url} as it is, and {module.version} of it"
                " can't be had now"
            )
        missing = _take_images(pictures, scratch, progress)
        needed = [name for image in missing for name in image.binaries]
        builds.build([*([] if taken else module.commands), *needed])
        _offer_images(pictures, scratch, progress)  # first: a package without is worse
        if not taken:
            _build_packages(repository, wanted, new, scratch)
        _put(new, repository.folder)


def _is_built_here(repository: mirror.Repository) -> bool:
    release = repository.folder / repository.upstream.release / "Release"
    return release.exists() and f"Origin: {ORIGIN}\n" in release.read_text()


def _build_packages(
    repository: mirror.Repository, wanted: list[packages.Package], new: Path, scratch: Path
) -> None:
    """A repository that has these packages, and those that are served."""
    pool = new / repository.pool
    pool.mkdir(parents=True)
    _keep(repository.folder / repository.pool, pool)
    # With Debian's runc, as the one that is served has it.
    for served in pool.glob("containerd.io_*"):
        run(["dpkg-deb", "-x", str(served), str(scratch / "there")])
    named = {package.name for package in wanted}
    others = [  # what else such a repository holds
        package
        for package in repository.packages
        if package.name not in named and not list(pool.glob(f"{package.name}_*"))
    ]
    runc = scratch / "there" / "usr" / "bin" / "runc"
    repository.build([*wanted, *others], runc, _base() / "key", new)


def _keep(served: Path, new: Path) -> None:
    """The packages that are served are beside the new ones."""
    for deb in served.glob("*.deb"):
        if not (new / deb.name).exists():
            images.link(deb, new / deb.name)


def _put(new: Path, served: Path) -> None:
    """Packages, then their index, which was made aside: a machine may be reading what is served."""
    files = [file for file in new.rglob("*") if file.is_file()]
    for file in sorted(files, key=lambda file: file.suffix != ".deb"):
        place = served / file.relative_to(new)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(shutil.copy(file, place.with_name(f".{file.name}")), place)


def release_packages(
    module: GoModule, those: Iterable[packages.Package]
) -> Iterator[packages.Package]:
    """Of those packages the ones whose programs are of this release, in its version."""
    version = module.version.removeprefix("v")
    for package in those:
        binaries = {
            path: at(name, module.version) if name in go_modules()[module.name].commands else name
            for path, name in package.binaries.items()
        }
        if set(binaries.values()) & set(module.commands):
            revision = package.version.partition("-")[2]
            yield dataclasses.replace(package, version=f"{version}-{revision}", binaries=binaries)


def release_images(module: GoModule) -> list[images.Image]:
    """What this release of Kubernetes, and what it needs, has of images that the mirror lacks."""
    there = {image.reference for image in images.catalogue()}
    found = images.catalogue({module.name: module.version, **module.needs})
    return [image for image in found if image.reference not in there]


def _stored(pictures: Iterable[images.Image]) -> dict[str, images.Image]:
    """By their names in buildah's storage, beside the mirror's own."""
    return {f"{image.folder}-{image.tag}": image for image in pictures}


def _take_images(
    pictures: Iterable[images.Image], scratch: Path, progress: debian.Progress
) -> list[images.Image]:
    """Takes upstream's where they can be had; those that are to be built."""
    buildah = images.Buildah(_base() / "buildah")
    return upstream.take_images(buildah, _stored(pictures), scratch, progress)


def _offer_images(
    pictures: Iterable[images.Image], scratch: Path, progress: debian.Progress
) -> None:
    buildah = images.Buildah(_base() / "buildah")
    config = scratch / "registry.yml"
    registry.write_config(config, own_images.STORE, readonly=False)
    with registry.running(config) as address:
        for name, image in _stored(pictures).items():
            images.ensure(buildah, image, name, scratch)
            buildah.push(name, f"{address}/{image.mirrored}")
            progress(f"image {image.reference}")
