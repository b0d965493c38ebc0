"""The pins of versions.toml, and what to make of the versions that commands print."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from toolchain import paths


@dataclass(frozen=True)
class GoModule:
    """One folder of toolchain/go: the commands that one `go build` makes of it.

    Of a further release their names have its version behind an @ (kubeadm@v1.36.5), and in `needs`
    are further releases of other modules that go with it.
    """

    name: str
    version: str
    commands: dict[str, str]  #: binary name -> Go package
    module: str = ""  #: upstream's module path; empty where the source is ours
    tags: list[str] = field(default_factory=list)
    cgo: bool = False
    stamps: dict[str, str] = field(default_factory=dict)  #: variable -> value
    release: str = ""  #: what the commands say they are: `version`, unless that is a commit
    patches: dict[str, str] = field(default_factory=dict)  #: upstream's file -> another for it
    pinned: str = "go"  #: PINNED.mod and PINNED.sum are what it is built by
    needs: dict[str, str] = field(default_factory=dict)  #: module -> version


@cache
def pins() -> dict[str, Any]:
    """versions.toml as it stands."""
    return tomllib.loads((paths.CHECKOUT / "toolchain" / "versions.toml").read_text("utf-8"))


@cache
def go_modules() -> dict[str, GoModule]:
    """The tables [go.*] by name, with `{version}`, `{minor}`, `{release}` filled in."""
    return {name: _module(name, table) for name, table in pins()["go"].items()}


@cache
def releases() -> list[GoModule]:
    """The further releases of the tables [releases.*], and of what they need."""
    found: dict[tuple[str, str], GoModule] = {}
    for name, table in pins()["releases"].items():
        for version, needs in table.items():
            for part, its, needed in ((name, version, needs), *((*n, {}) for n in needs.items())):
                found[part, its] = _release(part, its, needed)
    return list(found.values())


def _release(name: str, version: str, needs: dict[str, str]) -> GoModule:
    table = pins()["go"][name]
    commands = {at(command, version): path for command, path in table["commands"].items()}
    # Where the source is ours there is nothing else to pin.
    pinned = version if table.get("module") else "go"
    own = {"version": version, "commands": commands, "pinned": pinned, "needs": needs}
    return _module(name, {**table, **own})


def at(command: str, version: str) -> str:
    """A command of a further release, as it is called among all of them: kubeadm@v1.36.5"""
    return f"{command}@{version}"


def _module(name: str, table: dict[str, Any]) -> GoModule:
    version, release = table["version"], table.get("release", table["version"])
    minor = version.split(".")[1]
    stamps = {
        variable: value.format(version=version, minor=minor, release=release)
        for variable, value in table.get("stamps", {}).items()
    }
    fields: dict[str, Any] = {**table, "release": release, "stamps": stamps}
    return GoModule(name=name, **fields)


def builder_of(command: str) -> GoModule | None:
    """The module whose build makes a command, if one does."""
    modules = (*go_modules().values(), *releases())
    return next((module for module in modules if command in module.commands), None)


def requirement_version(package: str) -> str:
    """The version that requirements.txt pins for `package`, such as "7.51.1" for pulumi-aws."""
    text = (paths.CHECKOUT / "requirements.txt").read_text("utf-8")
    match = re.search(rf"^{re.escape(package)}==(\S+)$", text, re.MULTILINE)
    if match is None:
        raise LookupError(f"requirements.txt pins no {package}")
    return match[1]


def parse(text: str) -> tuple[int, int, int] | None:
    """The first version in what a command prints ("Client Version: v1.36.4+x" -> (1, 36, 4))."""
    match = re.search(r"(?<![\d.])v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def fits(version: tuple[int, int, int] | None, wanted: dict[str, int]) -> bool:
    """Whether a version has the wanted major number and, where `minor` is given, lies within
    `skew` (0 unless given) minor versions of it."""
    if version is None or version[0] != wanted["major"]:
        return False
    minor = wanted.get("minor")
    return minor is None or abs(version[1] - minor) <= wanted.get("skew", 0)
