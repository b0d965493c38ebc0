"""Images of the user's own in the local cloud: built on those of the mirror, pulled as those are.

The registry that machines pull from serves a store of this cloud's. It begins with links to the
mirror's images, which lie in the cache for all clouds, and takes in what `publish` builds. It is
read-only on the bridge: only the host adds images, by a registry on its loopback address.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from localcloud import layout, mirror
from localcloud.errors import CloudError
from localcloud.host import debian
from localcloud.mirror import images, registry
from toolchain import paths
from toolchain.locks import lock

STORE = layout.STATE / "registry"
CONFIG = layout.STATE / "registry.yml"

_TREE = Path("docker/registry/v2")


def lay_out(built: mirror.Mirror) -> None:
    """Make this cloud's store from the mirror's, in milliseconds: nothing large is copied."""
    source, target = built.folder / "registry" / _TREE, STORE / _TREE
    (target / "blobs" / "sha256").mkdir(parents=True)
    for blob in (source / "blobs" / "sha256").glob("*/*"):
        link = target / "blobs" / "sha256" / blob.parent.name / blob.name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(blob)
    # Small files, which the registry rewrites when a tag moves: these are copies.
    shutil.copytree(source / "repositories", target / "repositories")
    registry.write_config(CONFIG, STORE, readonly=True)


def serve_command() -> list[str]:
    """The command that serves the store to machines, until it is killed."""
    return registry.serve_command(CONFIG, f"{layout.HOST_ADDRESS}:{mirror.REGISTRY_PORT}")


def publish(context: Path, name: str, tag: str, progress: debian.Progress = print) -> str:
    """Build the Containerfile (or Dockerfile) in `context`; the image's reference for pods.

    FROM may name any image of the mirror, as upstream calls it. The local cloud must be up.
    Raises CloudError with the line to show.
    """
    if not CONFIG.exists():
        raise CloudError("the local cloud is not up, so there is no registry: make up")
    debian.ensure_packages(mirror.HOST_PACKAGES, "to build images", progress)
    with lock("mirror", "the build of the mirror"):
        base = paths.cache_dir() / "mirror"
        buildah = images.Buildah(base / "buildah")
        with tempfile.TemporaryDirectory(prefix=".new-", dir=base) as scratch:
            _prepare_bases(buildah, context, Path(scratch), progress)
            # buildah writes a few files of its own into a context: into a copy, then.
            copied = Path(scratch) / "context"
            shutil.copytree(context, copied)
            buildah.build(copied, f"own/{name}", tag)
            config = Path(scratch) / "registry.yml"
            registry.write_config(config, STORE, readonly=False)
            with registry.running(config) as address:
                buildah.push(f"own/{name}", f"{address}/{name}:{tag}")
    return f"{layout.HOST_ADDRESS}:{mirror.REGISTRY_PORT}/{name}:{tag}"


def _prepare_bases(
    buildah: images.Buildah, context: Path, scratch: Path, progress: debian.Progress
) -> None:
    """Give buildah, under upstream's names, the mirror's images that the context builds on."""
    file = next(
        (f for f in map(context.joinpath, ("Containerfile", "Dockerfile")) if f.exists()), None
    )
    if file is None:
        raise CloudError(f"{context} has neither a Containerfile nor a Dockerfile")
    named = re.findall(
        r"^FROM\s+(?:--\S+\s+)*(\S+)", file.read_text(), re.MULTILINE | re.IGNORECASE
    )
    wanted = [image for image in images.catalogue() if image.reference in named]
    bases = [images.base(n) for n in images.BASES if f"localhost/tinderbox/{n}" in named]
    images.build(buildah, [*bases, *wanted], scratch, progress)
    for image in wanted:
        buildah("tag", images.stored(image.folder), image.reference)
