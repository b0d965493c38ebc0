"""`make image`: an image of your own, where the cluster can pull it.

Without a registry it is built for the local cloud, which then runs. With one (docker.io/me) it is
built and pushed by docker, podman or buildah, whichever is installed, with that tool's login.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from console.stack import ConsoleError
from console.verb import Verb
from toolchain import paths

_ENGINES = ("docker", "podman", "buildah")
_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")


def say(text: str) -> None:
    """One line of progress."""
    print(f"image: {text}", file=sys.stderr, flush=True)


def tag_of(context: Path) -> str:
    """A tag that changes with the context's content: what a node has pulled is never outdated.

    Raises ConsoleError where the context is no folder with something in it.
    """
    files = [file for file in context.rglob("*") if file.is_file()]
    if not files:
        raise ConsoleError(f"CONTEXT={context} must be a folder with a Containerfile")
    return paths.digest_of_files(context, files)[:12]


def for_local_cloud(name: str, context: Path, tag: str) -> str:
    """Builds the image into the local cloud's registry; returns its reference."""
    from localcloud import cloud
    from localcloud.mirror import own_images

    cloud.up(say)
    return own_images.publish(context, name, tag, say)


def for_registry(name: str, context: Path, tag: str, registry: str) -> str:
    """Builds the image and pushes it; returns its reference. Raises ConsoleError."""
    engine = next(filter(shutil.which, _ENGINES), None)
    if engine is None:
        raise ConsoleError(f"none of {', '.join(_ENGINES)} is installed to build an image with")
    reference = f"{registry.rstrip('/')}/{name}:{tag}"
    build = [engine, "build", "--tag", reference]
    if not (context / "Dockerfile").exists():
        build += ["--file", str(context / "Containerfile")]
    for command in ([*build, str(context)], [engine, "push", reference]):
        # stdout is for the reference alone.
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        if done.returncode != 0:
            raise ConsoleError(f"{engine} {command[1]} failed (exit code {done.returncode})")
    return reference


def options(parser: argparse.ArgumentParser) -> None:
    """Its own."""
    parser.add_argument("name", metavar="NAME", help="of the image, without registry and tag")
    parser.add_argument(
        "context", metavar="CONTEXT", help="the folder of its Containerfile", type=Path
    )
    parser.add_argument("--registry", default="", help="with the account: docker.io/me")


def run(options: argparse.Namespace) -> None:
    """Builds one image; prints its reference on stdout."""
    if not _NAME.fullmatch(options.name):
        raise ConsoleError(f"NAME={options.name} is no image's name: write a-z, 0-9, . _ and -")
    tag = tag_of(options.context)
    if options.registry:
        print(for_registry(options.name, options.context, tag, options.registry))
    else:
        print(for_local_cloud(options.name, options.context, tag))


VERB = Verb(
    what="""\
An image of your own, where the cluster can pull it; its reference goes to stdout.

Without a registry it is built for the local cloud, which then runs. With one it is built and pushed
by docker, podman or buildah, whichever is installed, with that tool's login.""",
    examples=("mine ./image", "--registry docker.io/me mine ./image"),
    options=options,
    run=run,
    # A registry is reached by the login and the settings of the user's own tool.
    is_local=lambda options: not options.registry,
    of_stack=False,
    interrupted="interrupted",
)
