"""The container images that the cluster pulls, built by buildah under upstream's names and tags.

To add one: a folder in localcloud/images with a Containerfile, and a line in `catalogue`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.host import debian
from localcloud.machines import rootfs
from localcloud.mirror import packages
from toolchain import builds, paths
from toolchain.versions import at, go_modules

FOLDER = Path(__file__).parent.parent / "images"

#: Built for other images only, in this order; a Containerfile names them localhost/tinderbox/NAME.
BASES = ("debian", "debian-net", "debian-java")


@dataclass(frozen=True)
class Image:
    """An image: its upstream name, its tag, its folder in localcloud/images, and what goes in.

    `binaries` are Go binaries that are laid beside the Containerfile; `stage` lays out more there.
    """

    name: str  #: with the registry, such as registry.k8s.io/pause
    tag: str
    folder: str
    binaries: tuple[str, ...] = ()
    stage: Callable[[Path], None] | None = None
    pinned: str = ""  #: the version of what `stage` brings: the image is made anew when it changes

    @property
    def reference(self) -> str:
        """As pods name it."""
        return f"{self.name}:{self.tag}"

    @property
    def mirrored(self) -> str:
        """The same in the mirror: the path without the registry."""
        return mirror_path(self.reference)


def registry_of(image: Image) -> str:
    """The registry that the image's name begins with."""
    return image.name.partition("/")[0]


def mirror_path(reference: str) -> str:
    """Where containerd's mirror configuration looks for an image: its name without the registry.

    >>> mirror_path("registry.k8s.io/coredns/coredns:v1.14.2")
    'coredns/coredns:v1.14.2'
    >>> mirror_path("apache/spark:4.2.0-python3")
    'apache/spark:4.2.0-python3'
    """
    first, slash, rest = reference.partition("/")
    is_registry = "." in first or ":" in first or first == "localhost"
    return rest if slash and is_registry else reference


def catalogue(others: Mapping[str, str] | None = None) -> list[Image]:
    """All images of the mirror; others: modules in another release, whose commands go in then."""
    others = others or {}
    version = {**{name: module.version for name, module in go_modules().items()}, **others}
    kubernetes, k8s, flannel = version["kubernetes"], "registry.k8s.io", "ghcr.io/flannel-io"
    metrics = f"{k8s}/metrics-server/metrics-server"
    standin = "flannel-cni-standin"
    images = [
        *(
            Image(f"{k8s}/{name}", kubernetes, name, (name,))
            for name in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kube-proxy",
            )
        ),
        Image(
            f"{k8s}/etcd",
            version["etcd"].removeprefix("v") + "-0",
            "etcd",
            ("etcd", "etcdctl", "etcdutl"),
        ),
        Image(f"{k8s}/coredns/coredns", version["coredns"], "coredns", ("coredns",)),
        Image(f"{k8s}/pause", version["pause"], "pause", ("pause",)),
        Image(f"{flannel}/flannel", version["flannel"], "flannel", ("flanneld",)),
        Image(
            f"{flannel}/flannel-cni-plugin",
            f"v{version[standin]}-flannel1",
            "flannel-cni-plugin",
            (standin,),
        ),
        Image(metrics, version["metrics-server"], "metrics-server", ("metrics-server",)),
        spark(f"{spark_version()}-python3"),
        Image(
            "docker.io/hjacobs/kube-resource-report",
            "21.2.1",
            "kube-resource-report",
            stage=stage_resource_report,
        ),
    ]

    def released(command: str) -> str:
        module = builds.module_of(command).name
        return at(command, others[module]) if module in others else command

    return [replace(i, binaries=tuple(map(released, i.binaries))) for i in images]


def spark(tag: str) -> Image:
    """Spark's image with that official tag, which begins with its version."""
    version = tag.partition("-")[0]
    return Image(
        "docker.io/apache/spark",
        tag,
        "spark",
        stage=functools.partial(stage_spark, version=version),
        pinned=version,
    )


def binaries() -> set[str]:
    """The Go binaries that the images hold."""
    return {name for image in catalogue() for name in image.binaries}


# ---- Spark, from PyPI's pyspark


def spark_version() -> str:
    """The version of the environment's pyspark, which is that of the mirror's image."""
    _pyspark()
    return importlib.metadata.version("pyspark")


def stage_spark(context: Path, version: str) -> None:
    """Lay out /opt/spark as spark/ in `context`."""
    fetched = context / "site"
    if version == spark_version():
        package = _pyspark()
    else:
        pip_install(fetched, "--no-binary", "pyspark", f"pyspark=={version}")
        package = fetched / "pyspark"
    home = context / "spark"
    folders = ("jars", "bin", "sbin", "examples", "data", "licenses")
    for name in folders:
        _link_tree(package / name, home / name)
    for script in [*(home / "bin").iterdir(), *(home / "sbin").iterdir()]:
        if script.suffix == ".cmd":
            script.unlink()  # Windows
    _link_tree(package, home / "python" / "pyspark", leave_out=(*folders, "python"))
    _link_tree(package / "python" / "lib", home / "python" / "lib")
    # Spark's scripts take its presence for a sign of a release, not of a source tree.
    (home / "RELEASE").write_text(f"Spark {version} (from PyPI's pyspark)\n")
    shutil.rmtree(fetched, ignore_errors=True)


def _pyspark() -> Path:
    """The environment's."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise CloudError("pyspark is not in this Python environment; make it: make tools")
    return Path(spec.origin).parent


def pip_install(target: Path, *what: str) -> None:
    """Put packages of PyPI, without what they import, into a folder. Raises CloudError."""
    options = ("--quiet", "--no-deps", "--no-compile", "--target", str(target))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, *what], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise CloudError(f"pip install failed: {done.stderr.strip().splitlines()[-1]}")


def link(source: str | Path, target: str | Path) -> object:
    """A hard link, or a copy where there can't be one; so neither file may be rewritten."""
    try:
        os.link(source, target)
    except OSError:
        return shutil.copy2(source, target)
    return target


def _link_tree(source: Path, target: Path, leave_out: Iterable[str] = ()) -> None:
    """Copy a folder by hard links (half a gigabyte of jars), or really where they cannot be."""
    skipped = set(leave_out)

    def ignore(folder: str, names: list[str]) -> set[str]:
        here = skipped if Path(folder) == source else set()
        return {name for name in names if name in here or name == "__pycache__"}

    shutil.copytree(source, target, copy_function=link, ignore=ignore)


# ---- kube-resource-report, from PyPI, with what it imports


def stage_resource_report(context: Path) -> None:
    """Lay out the packages of the image's requirements.txt as site/, for Debian's Python."""
    site = context / "site"
    there = ("--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.13")
    pip_install(site, *there, "--requirement", str(context / "requirements.txt"))
    # Started by module; its scripts would name this host's Python.
    shutil.rmtree(site / "bin")


# ---- buildah


class Buildah:
    """buildah with a storage of its own in `folder`, which outlives a call only as plain files.

    Each call has mount and process namespaces of its own that die with it: neither a mount nor a
    process stays behind, even if it is killed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str) -> str:
        """Run `buildah ARGUMENTS` and return what it printed; CloudError if it fails."""
        (self.folder / "lib").mkdir(parents=True, exist_ok=True)
        # Its cache of what it pushed has a fixed place, which is mounted over with one of ours.
        own_lib = 'mkdir -p "$1" && mount --bind "$0" "$1" && shift && exec "$@"'
        done = subprocess.run(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", own_lib, str(self.folder / "lib"), "/var/lib/containers"),
                "buildah",
                *("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")),
                *("--storage-driver", "overlay"),
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-3:]
            raise CloudError(f"buildah {arguments[0]} {arguments[-1]} failed: {' / '.join(words)}")
        return done.stdout

    def key_of(self, name: str) -> str:
        """The key that the image NAME was built with; "" where there is none."""
        label = '{{index .OCIv1.Config.Labels "tinderbox.key"}}'
        try:
            return self("inspect", "--type", "image", "--format", label, stored(name)).strip()
        except CloudError:
            return ""

    def build(self, context: Path, name: str, key: str) -> None:
        """Build the Containerfile in `context` as one layer on its base, under stored(NAME)."""
        sources = context / ".sources.list"
        sources.write_text(debian.debian_sources(rootfs.SUITE))
        proxies = context / ".proxies.conf"
        proxies.write_text("".join(f'{k} "{v}";\n' for k, v in debian.apt_proxies().items()))
        self(
            "build",
            *("--isolation", "chroot", "--pull=never", "--force-rm", "--quiet", "--layers=false"),
            # Where Debian comes from is this host's matter: mounted, not written into the image.
            *("--volume", f"{sources}:/etc/apt/sources.list.d/host.list:ro"),
            *("--volume", f"{proxies}:/etc/apt/apt.conf.d/99proxies:ro"),
            *("--label", f"tinderbox.key={key}", "--tag", stored(name), str(context)),
        )

    def take(self, image: Image, name: str, scratch: Path) -> None:
        """Upstream's own image, under stored(NAME). Raises CloudError where it can't be had."""
        with tempfile.TemporaryDirectory(dir=scratch) as context:
            (Path(context) / "Containerfile").write_text(f"FROM {image.reference}\n")
            known = ("--label", f"tinderbox.key={official_key(image)}")
            options = ("--pull=always", "--quiet", "--platform=linux/amd64", *known)
            self("build", *options, "--tag", stored(name), context)
        self("rmi", image.reference)

    def push(self, name: str, target: str) -> None:
        """Push the image NAME to `target` (host:port/path:tag, plain HTTP)."""
        # Of what containerd takes, this costs nodes the least: Spark's image is pulled in 5 s, in
        # 6 s with gzip, in 8 s uncompressed (more to write).
        quick = ("--format", "oci", "--compression-format", "zstd", "--compression-level", "1")
        where = f"docker://{target}"
        self("push", "--quiet", "--tls-verify=false", *quick, stored(name), where)

    def clean(self) -> None:
        """Remove what killed builds left, and images that newer ones replaced."""
        self("rm", "--all")
        self("rmi", "--prune")


def stored(name: str) -> str:
    """An image's name in buildah's storage."""
    return f"localhost/tinderbox/{name}:latest"


def key(folder: str, extra: Iterable[str] = ()) -> str:
    """What an image depends on, as a digest: its folder, its base, and `extra`."""
    here = FOLDER / folder
    files = [path for path in here.rglob("*") if path.is_file()]
    bases = _bases(folder)
    below = key(bases[0]) if bases else rootfs.base_key()
    return paths.digest_of(paths.digest_of_files(here, files), below, *extra)


def _bases(folder: str) -> list[str]:
    """The bases that an image builds on, the nearest first."""
    text = (FOLDER / folder / "Containerfile").read_text()
    found = re.search(r"^FROM localhost/tinderbox/(\S+)", text, re.MULTILINE)
    return [found[1], *_bases(found[1])] if found else []


def image_key(image: Image) -> str:
    """The key of an image of the catalogue, with the keys of its binaries."""
    # A binary's folder in the cache carries its version and the digest of its sources.
    where = [builds.location(name).parent.name for name in image.binaries]
    return key(image.folder, [*where, image.pinned])


def base(name: str) -> Image:
    """One of BASES."""
    return Image("", "", name, stage=_stage_debian if name == BASES[0] else None)


def official_key(image: Image) -> str:
    """The key of upstream's own."""
    return paths.digest_of("upstream", image.reference)


def is_there(buildah: Buildah, image: Image, name: str) -> bool:
    """Whether buildah's storage has the image under stored(NAME), upstream's or built here."""
    return buildah.key_of(name) in (image_key(image), official_key(image))


def build(
    buildah: Buildah, images: Iterable[Image], scratch: Path, progress: Callable[[str], None]
) -> None:
    """Build what buildah's storage lacks of these, and of what they build on.

    `scratch` is a folder for build contexts, on the file system of the cache (for hard links).
    """
    missing = [image for image in images if not is_there(buildah, image, image.folder)]
    below = {name for image in missing for name in _bases(image.folder)}
    jobs = [*(base(name) for name in BASES if name in below), *missing]
    for number, image in enumerate(jobs, 1):
        began = time.monotonic()
        if ensure(buildah, image, image.folder, scratch):
            took = f"{time.monotonic() - began:.0f} s"
            progress(f"image [{number}/{len(jobs)}] {image.folder}, {took}")


def ensure(buildah: Buildah, image: Image, name: str, scratch: Path) -> bool:
    """Build the image under stored(NAME) where buildah's storage lacks it; whether it did."""
    if is_there(buildah, image, name):
        return False
    context = scratch / image.folder
    shutil.copytree(FOLDER / image.folder, context)
    for binary in image.binaries:
        # Of whichever release: the Containerfile knows it by its own name.
        shutil.copy(builds.binary(binary), context / binary.partition("@")[0])
    packages.normalise(context)
    if image.stage is not None:
        image.stage(context)
    buildah.build(context, name, image_key(image))
    shutil.rmtree(context)
    return True


def _stage_debian(context: Path) -> None:
    rootfs.debootstrap(context / "debian.tar", "minbase", [])
