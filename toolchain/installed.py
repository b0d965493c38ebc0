"""What the user has installed already: commands on PATH, Pulumi plugins in the user's PULUMI_HOME.

What Tinderbox put there (.tinderbox/bin, .venv/bin, its cache) is never taken for the user's.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import paths
from toolchain.versions import fits, parse

Version = tuple[int, int, int]

#: Seconds that a command has to print its version.
ANSWER_WITHIN = 10

#: Seconds that asking a plugin takes at most; plugin_info.py has a limit of its own below this.
PLUGIN_ANSWERS_WITHIN = 90


@dataclass(frozen=True)
class Found:
    """An executable of the user's; `version` is None where it would not tell."""

    path: Path
    version: Version | None


def path_folders(environment: Mapping[str, str]) -> list[Path]:
    """The folders of PATH that are the user's own, each once, in order."""
    ours = (paths.SCRATCH, paths.VENV, paths.cache_dir())
    folders = [Path(part) for part in environment.get("PATH", "").split(os.pathsep) if part]
    # /bin is /usr/bin on Debian; each folder counts once, under the name that comes first.
    once = {folder.resolve(): folder for folder in reversed(folders)}
    wanted = [folder for folder in folders if once.pop(folder.resolve(), None) == folder]
    return [f for f in wanted if not any(f.is_relative_to(own) for own in ours)]


def user_pulumi_home(environment: Mapping[str, str]) -> Path:
    """The user's PULUMI_HOME (by default ~/.pulumi), never ours in the cache."""
    home = environment.get("PULUMI_HOME")
    if home and not Path(home).is_relative_to(paths.cache_dir()):
        return Path(home)
    return Path(environment.get("HOME", "~")).expanduser() / ".pulumi"


def executables(name: str, folders: list[Path]) -> list[Path]:
    """Each `name` that can be run, in the order of `folders`."""
    candidates = [folder / name for folder in folders]
    return [c for c in candidates if c.is_file() and os.access(c, os.X_OK)]


def version_of(path: Path, arguments: list[str], within: float = ANSWER_WITHIN) -> Version | None:
    """What version a command says it is, or None where it fails, hangs or prints none."""
    # A version check must not make the command ask the internet for a newer one.
    settings = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        answer = subprocess.run(
            [str(path), *arguments],
            env=settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse(answer.stdout) if answer.returncode == 0 else None


def plugin_version(python: Path, plugin: Path) -> Version | None:
    """What version a Pulumi plugin says it is. python: of the environment, which has gRPC."""
    # -I: nothing of the user's, nor of this folder, comes before the environment's packages.
    script = Path(__file__).with_name("plugin_info.py")
    return version_of(python, ["-I", str(script), str(plugin)], PLUGIN_ANSWERS_WITHIN)


def pick(found: list[Found], wanted: dict[str, int]) -> Found | None:
    """The first whose version fits; an unknown version does not."""
    return next((one for one in found if fits(one.version, wanted)), None)


def plugins(home: Path, name: str) -> list[Found]:
    """The resource plugins called `name` in a PULUMI_HOME, whose folders tell their versions."""
    found = []
    for folder in (home / "plugins").glob(f"resource-{name}-v*"):
        match = re.fullmatch(rf"resource-{re.escape(name)}-v(\d+)\.(\d+)\.(\d+)", folder.name)
        path = folder / f"pulumi-resource-{name}"
        if match and os.access(path, os.X_OK):
            found.append(Found(path, (int(match[1]), int(match[2]), int(match[3]))))
    return found


def pick_plugin(found: list[Found], asked: Version) -> Found | None:
    """The plugin to take: exactly the version asked for, else the newest of its major number."""
    same = [one for one in found if one.version is not None and one.version[0] == asked[0]]
    return max(same, key=lambda one: (one.version == asked, one.version), default=None)
