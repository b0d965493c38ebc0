"""The Debian packages that nodes install, under upstream's names, versions and layout.

Each folder of packages/ is a package's tree as dpkg-deb takes it; what is compiled is added here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.host.shell import run
from toolchain import builds
from toolchain.versions import go_modules

FOLDER = Path(__file__).parent / "packages"

#: Unpacked without decompression: nodes are next to the mirror, and share the host's few cores.
COMPRESSION = "-Znone"


@dataclass(frozen=True)
class Package:
    """A package: its folder's name, Debian version, and target path -> name of the binary."""

    name: str
    version: str
    binaries: Mapping[str, str]

    @property
    def file_name(self) -> str:
        """As apt expects it: name_version_architecture.deb"""
        return f"{self.name}_{self.version}_amd64.deb"

    @property
    def folder(self) -> Path:
        """The tree of what is not compiled."""
        return FOLDER / self.name


def _upstream(module: str, revision: str) -> str:
    return go_modules()[module].version.removeprefix("v") + revision


def kubernetes() -> list[Package]:
    """What upstream's repository of one Kubernetes minor version holds."""
    version = _upstream("kubernetes", "-1.1")
    plugins = ("bridge", "host-local", "loopback", "portmap")
    return [
        *(
            Package(name, version, {f"usr/bin/{name}": name})
            for name in ("kubelet", "kubeadm", "kubectl")
        ),
        Package("cri-tools", _upstream("cri-tools", "-1.1"), {"usr/bin/crictl": "crictl"}),
        Package(
            "kubernetes-cni",
            _upstream("cni-plugins", "-1.1"),
            {f"opt/cni/bin/{name}": name for name in plugins},
        ),
    ]


def docker(suite: str = "trixie", release: int = 13) -> list[Package]:
    """What a node needs of Docker's repository for one Debian release."""
    names = ("containerd", "containerd-shim-runc-v2", "ctr")
    return [
        Package(
            "containerd.io",
            _upstream("containerd", f"-1~debian.{release}~{suite}"),
            {f"usr/bin/{name}": name for name in names} | {"usr/bin/runc": "runc"},
        )
    ]


def binaries(those: Iterable[Package]) -> set[str]:
    """The Go binaries that packages hold."""
    needed = {name for package in those for name in package.binaries.values()}
    return needed - {"runc"}  # Debian's own


def build(package: Package, runc: Path, into: Path) -> Path:
    """Make the .deb in the folder `into` and return its path. `runc` is Debian's binary."""
    with tempfile.TemporaryDirectory(prefix=f".{package.name}.", dir=into) as scratch:
        tree = Path(scratch) / "tree"
        shutil.copytree(package.folder, tree)
        for target, name in package.binaries.items():
            source = runc if name == "runc" else builds.binary(name)
            (tree / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tree / target)
            (tree / target).chmod(0o755)
        normalise(tree)
        size = sum(f.stat().st_size for f in tree.rglob("*") if "DEBIAN" not in f.parts)
        control = tree / "DEBIAN" / "control"
        fields = control.read_text().format(version=package.version)
        control.write_text(f"{fields.rstrip()}\nInstalled-Size: {-(-size // 1024)}\n")
        deb = into / package.file_name
        run(["dpkg-deb", "--root-owner-group", COMPRESSION, "--build", str(tree), str(deb)])
    return deb


def normalise(tree: Path) -> None:
    """Modes that do not depend on the umask that the checkout was made with."""
    for folder, _, files in os.walk(tree):
        os.chmod(folder, 0o755)
        for name in files:
            path = Path(folder, name)
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
