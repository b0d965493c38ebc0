"""What of the mirror's content upstream itself has, taken from there where it can be reached.

An image is kept as a build of one line (FROM its name), a repository of packages as a copy of its
signed index with those packages that nodes take, a chart as it is. What can't be had is built here;
`progress` hears which, and why.
"""

from __future__ import annotations

import functools
import gzip
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from localcloud.errors import CloudError
from localcloud.host import debian
from localcloud.machines import rootfs
from localcloud.mirror.images import Buildah, Image, is_there, registry_of
from localcloud.mirror.packages import Package
from toolchain import download
from toolchain.errors import ToolchainError
from toolchain.progress import ticking

#: A registry's own name where it is not the one in images' names.
_HOSTS = {"docker.io": "registry-1.docker.io"}
#: Where charts are found, as the program asks for them.
CHARTS = {
    "flannel": "https://flannel-io.github.io/flannel",
    "metrics-server": "https://kubernetes-sigs.github.io/metrics-server",
}


def take_images(
    buildah: Buildah, wanted: Mapping[str, Image], scratch: Path, progress: debian.Progress
) -> list[Image]:
    """Takes those of the images, by their names in buildah's storage, that are not there yet.

    Returns those that are to be built.
    """
    missing = {name: image for name, image in wanted.items() if not is_there(buildah, image, name)}
    places = {image: f"https://{_host(image)}/v2/" for image in missing.values()}
    answers = download.reachable(sorted(set(places.values())))
    to_build = []
    for name, image in missing.items():
        if not answers[places[image]]:
            to_build.append(image)
            continue
        try:
            with ticking(lambda image=image: f"{image.reference}, upstream's,"):
                buildah.take(image, name, scratch)
        except CloudError as error:
            to_build.append(image)
            progress(f"{image.reference} is built here, since upstream's can't be had: {error}")
        else:
            progress(f"{image.reference} is upstream's")
    return to_build


def _host(image: Image) -> str:
    registry = registry_of(image)
    return _HOSTS.get(registry, registry)


@dataclass(frozen=True)
class Repository:
    """An apt repository: its address, and below it its key and the folders of its indexes."""

    url: str
    key: str
    release: str  #: of Release, "" for the top
    index: str  #: of Packages


def kubernetes(minor: str) -> Repository:
    """Kubernetes' own, of one minor version such as v1.36."""
    return Repository(f"https://pkgs.k8s.io/core:/stable:/{minor}/deb/", "Release.key", "", "")


def docker(suite: str = rootfs.SUITE) -> Repository:
    """Docker's, of one release of Debian."""
    release = f"dists/{suite}/"
    index = f"{release}stable/binary-amd64/"
    return Repository("https://download.docker.com/linux/debian/", "gpg", release, index)


def take_packages(
    repository: Repository, wanted: Iterable[Package], into: Path, progress: debian.Progress
) -> bool:
    """Copies the repository's indexes, and of the packages the newest and the wanted versions.

    wanted: those of the first one's version are what nodes pin, so they must be there. False, and
    nothing in the folder `into`, where it is out of reach or has not all.
    """
    if not download.reachable([repository.url + repository.key])[repository.url + repository.key]:
        return False
    into.mkdir(parents=True)
    try:
        with ticking(lambda: f"packages of {repository.url}"):
            _copy(repository, list(wanted), into)
    except (ToolchainError, *download.FAILURES) as error:
        shutil.rmtree(into)
        progress(f"packages of {repository.url} are built here: {error}")
        return False
    progress(f"packages of {repository.url} are upstream's")
    return True


def _copy(repository: Repository, wanted: list[Package], into: Path) -> None:
    def get(path: str, digest: str = "") -> Path:
        target = into / path
        if ".." in target.parts or not target.is_relative_to(into):
            raise ToolchainError(f"it names a file outside of it: {path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        download.transfer(repository.url + path, target)
        if digest:
            download.verify(target, digest)
        return target

    get(repository.key)
    # The nodes' apt checks the signature, by the key that they are given.
    for name in ("InRelease", "Release", "Release.gpg"):
        get(repository.release + name)
    release = (into / repository.release / "Release").read_text()
    sums = release.partition("\nSHA256:\n")[2]
    within = repository.index.removeprefix(repository.release)
    for digest, name in re.findall(r"^ ([0-9a-f]{64}) +\d+ (\S+)$", sums, re.MULTILINE):
        if name in (f"{within}Packages", f"{within}Packages.gz"):
            file = get(repository.release + name, digest)
            if "Acquire-By-Hash: yes" in release:
                by_hash = file.parent / "by-hash" / "SHA256"
                by_hash.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, by_hash / digest)
    listed = _stanzas(into / repository.index)
    for package in wanted:
        offered = [
            one
            for one in listed
            if one["Package"] == package.name and one["Architecture"] in ("amd64", "all")
        ]
        asked = [one for one in offered if one["Version"] == package.version]
        if not offered or (not asked and package.version == wanted[0].version):
            raise ToolchainError(f"it has no {package.name} {package.version}")
        newest = functools.reduce(_newer, offered)
        for one in [*asked, newest]:
            path = one["Filename"].removeprefix("./")
            if not (into / path).exists():
                get(path, one["SHA256"])


def _stanzas(folder: Path) -> list[dict[str, str]]:
    """The packages that an index in the folder describes; what is in lines of its own is not."""
    plain = folder / "Packages"
    text = (
        plain.read_text()
        if plain.exists()
        else gzip.decompress((folder / "Packages.gz").read_bytes()).decode()
    )
    return [
        dict(re.findall(r"^(\S+): (.*)$", stanza, re.MULTILINE))
        for stanza in text.split("\n\n")
        if stanza.strip()
    ]


def _newer(one: Mapping[str, str], other: Mapping[str, str]) -> Mapping[str, str]:
    """The one of two packages whose version is the newer, as dpkg orders them."""
    asked = ["dpkg", "--compare-versions", one["Version"], "lt", other["Version"]]
    return other if subprocess.run(asked, check=False).returncode == 0 else one


def take_chart(name: str, version: str, into: Path, progress: debian.Progress) -> bool:
    """Puts the chart of that version into the folder; whether it did."""
    url = CHARTS[name]
    index = f"{url}/index.yaml"
    if not download.reachable([index])[index]:
        return False
    try:
        with urllib.request.urlopen(index, timeout=download.STALLED) as answer:
            entries = yaml.safe_load(answer.read())["entries"][name]
        entry = next((one for one in entries if one["version"] == version), None)
        if entry is None:
            raise ToolchainError(f"upstream has none of {version}")
        address = urllib.parse.urljoin(f"{url}/", entry["urls"][0])
        target = into / f"{name}-{version}.tgz"
        download.transfer(address, target)
        download.verify(target, entry["digest"])
    except (ToolchainError, KeyError, yaml.YAMLError, *download.FAILURES) as error:
        progress(f"chart {name} is of its module: {error}")
        return False
    return True
