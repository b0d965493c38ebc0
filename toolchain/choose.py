"""Which pulumi, helm, kubectl and plugins to use: installed, else downloaded, else built here,
else a stand-in.

Deciding is apart from doing: the functions here look and reason, tools.py builds and installs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolchain import download, installed
from toolchain.installed import Found
from toolchain.versions import builder_of, parse, pins, requirement_version

INSTALLED, DOWNLOAD, BUILD, STANDIN = "installed", "downloaded", "built here", "stand-in"
#: Of these kinds are the plugins that lie in a PULUMI_HOME of our own.
OURS = (BUILD, STANDIN)
LANGUAGE_HOST = "pulumi-language-python"


@dataclass(frozen=True)
class Choice:
    """What was chosen for one name, and why; `path` is empty until it is there."""

    name: str
    kind: str
    version: str
    why: str
    path: str = ""

    @property
    def title(self) -> str:
        """Name and version, where one is known."""
        return f"{self.name} {self.version}".strip()

    def at(self, path: Path) -> Choice:
        """The same choice, now with the place where it lies."""
        return Choice(**{**asdict(self), "path": str(path)})


def plugin_versions() -> dict[str, str]:
    """The resource plugins that the SDKs ask for, and their versions."""
    return {
        name: requirement_version(table["requirement"]) for name, table in pins()["plugins"].items()
    }


def look_for_commands(environment: Mapping[str, str]) -> dict[str, list[Found]]:
    """The user's own pulumi, helm and kubectl with the versions that they tell."""
    folders = installed.path_folders(environment)
    home = installed.user_pulumi_home(environment)
    found = {}
    for name, table in pins()["tools"].items():
        places = [*folders, home / "bin"] if name == "pulumi" else folders
        found[name] = [
            Found(path, installed.version_of(path, table["version_command"]))
            for path in installed.executables(name, list(dict.fromkeys(places)))
        ]
    return found


def command_urls(name: str) -> tuple[str, str, str]:
    """A command's official download: the address, that of its checksums, the path in the archive
    (empty where the download is the executable itself)."""
    table = pins()["tools"][name]
    words = {**download.machine(), "v": table["download"]}
    url, checksums = table["url"].format(**words), table["checksums"].format(**words)
    return url, checksums, table.get("member", "").format(**words)


def command(name: str, found: list[Found], reached: bool) -> Choice:
    """The choice for pulumi, helm or kubectl: the first installed one whose version fits, else
    the download where it can be reached, else the build."""
    table = pins()["tools"][name]
    if (one := installed.pick(found, table["fits"])) is not None:
        return Choice(name, INSTALLED, dotted(one.version), "it fits", str(one.path))
    refused = [f"{f.path} is {dotted(f.version)}, needed is {needed(table['fits'])}" for f in found]
    reason = "; ".join(refused) or "none is installed"
    if reached:
        return Choice(name, DOWNLOAD, table["download"], reason)
    module = builder_of(name)
    assert module is not None
    version = module.release.removeprefix("v")
    return Choice(name, BUILD, version, f"{reason}; no download, {host_of(name)} is out of reach")


def plugin(name: str, asked: str, ambient: list[Found], cached: list[Found], got: bool) -> Choice:
    """The choice for a resource plugin whose version `asked` the SDK asks for.

    ambient: the ones on PATH, which the engine takes before all others; one of another major
    version, or that does not tell its own, is passed over. cached: the ones in the user's
    PULUMI_HOME. got: the download was made.
    """
    wanted = parse(asked)
    assert wanted is not None
    for one in ambient:
        if one.version is not None and one.version[0] == wanted[0]:
            return Choice(name, INSTALLED, dotted(one.version), "it is on PATH", str(one.path))
    refused = [f"{f.path} is {dotted(f.version)}, needed is {wanted[0]}.x" for f in ambient]
    if (one := installed.pick_plugin(cached, wanted)) is not None:
        why = "the download was made" if got else "it is in PULUMI_HOME"
        kind = DOWNLOAD if got else INSTALLED
        return Choice(name, kind, dotted(one.version), "; ".join([why, *refused]), str(one.path))
    reason = "; ".join(refused) or "none is installed"
    kind = STANDIN if builder_of(plugin_command(name)) is None else BUILD
    return Choice(name, kind, asked, f"{reason}; no download, get.pulumi.com is out of reach")


def plugin_command(name: str) -> str:
    """The executable of a resource plugin."""
    return f"pulumi-resource-{name}"


def language_host(pulumi: Path, ambient: list[Path]) -> Choice:
    """The Python language host: the one beside the chosen CLI (official installations have it
    there), one on PATH, else the stand-in."""
    name = LANGUAGE_HOST
    beside = pulumi.resolve().parent / name
    if beside.exists():
        return Choice(name, INSTALLED, "", "it came with the CLI", str(beside))
    if ambient:
        return Choice(name, INSTALLED, "", "it is on PATH", str(ambient[0]))
    return Choice(name, STANDIN, "", "none lies beside the CLI or on PATH")


def host_of(name: str) -> str:
    """The host that the official download of a command comes from."""
    return pins()["tools"][name]["url"].split("/")[2]


def dotted(version: installed.Version | None) -> str:
    """A version for people."""
    return "of unknown version" if version is None else ".".join(map(str, version))


def needed(wanted: Mapping[str, Any]) -> str:
    """A versions.toml `fits` table for people: "3.x", "1.35 to 1.37"."""
    if "minor" not in wanted:
        return f"{wanted['major']}.x"
    major, minor, skew = wanted["major"], wanted["minor"], wanted.get("skew", 0)
    return f"{major}.{minor - skew} to {major}.{minor + skew}"
