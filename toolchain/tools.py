"""What `make tools` does: packages, Python environment, CLI, plugins, and the links in .tinderbox.

A stamp over all that goes into the choices makes a second call cost next to nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from toolchain import builds, choose, debian, download, env, installed, paths, standin_home, venv
from toolchain.choose import BUILD, DOWNLOAD, INSTALLED, STANDIN, Choice
from toolchain.errors import ToolchainError
from toolchain.installed import Found
from toolchain.locks import lock
from toolchain.progress import elapsed
from toolchain.versions import pins

#: Executables of the user's that would change a choice.
WATCHED = ("pulumi", "helm", "kubectl", "pulumi-language-python")

#: Debian packages, by a command that tells whether they are needed.
PACKAGES = {"ssh-keygen": "openssh-client", "java": "default-jre-headless"}


def run(local: bool = False, fresh: bool = False) -> None:
    """Get the tools. local: also build what the local cloud's machines run. fresh: choose anew,
    and try again what could not be reached, even if nothing has changed.

    Raises ToolchainError with the line that the user needs.
    """
    start = time.monotonic()
    if fresh:
        download.forget()
    stamp = _stamp(os.environ)
    if fresh or not _valid(stamp):
        with lock(f"tools-{paths.digest_of(str(paths.CHECKOUT))[:12]}", "the tools"):
            _debian_packages()
            _choose_and_make(stamp, venv.make(), local)
    if local:
        builds.build()
    names = [f"{c['name']} {c['version']} ({c['kind']})" for c in env.chosen()["choices"]]
    print(f"tools: ready in {elapsed(time.monotonic() - start)}: {', '.join(names)}")


def _choose_and_make(stamp: str, environment: Path, local: bool) -> None:
    """Choose, say why, fetch and build what is chosen, and write the links and the record."""
    commands = _commands(local)
    pulumi = Path(next(c.path for c in commands if c.name == "pulumi"))
    plugins = _plugins(pulumi)
    host_paths = installed.executables("pulumi-language-python", _folders())
    language = choose.language_host(pulumi, host_paths)
    standins = {c.name: c.version for c in plugins if c.kind == STANDIN}
    home = None
    if standins or language.kind == STANDIN:
        built_cli = next(c.kind for c in commands if c.name == "pulumi") == BUILD
        needs_host = language.kind == STANDIN
        home = standin_home.make(environment, pulumi, standins, built_cli, needs_host)
        language = language.at(home / "bin" / "pulumi-language-python") if needs_host else language
        if built_cli:
            commands = [c.at(home / "bin" / "pulumi") if c.name == "pulumi" else c for c in commands]
        plugins = [
            c.at(home / "plugins" / f"resource-{c.name}-v{c.version}" / f"pulumi-resource-{c.name}")
            if c.kind == STANDIN
            else c
            for c in plugins
        ]
    everything = [*commands, *plugins, language]
    _report(everything)
    _link(_links(commands, plugins, language, home))
    record = {
        "stamp": stamp,
        "home": str(home) if home else None,
        "choices": [asdict(choice) for choice in everything],
    }
    new = env.CHOSEN.with_name(f"tools.json.{os.getpid()}")
    new.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    new.replace(env.CHOSEN)


def _folders() -> list[Path]:
    return installed.path_folders(os.environ)


def _commands(local: bool) -> list[Choice]:
    """pulumi, helm and kubectl, each with its path."""
    found = choose.look_for_commands(os.environ)
    fitting = {n: installed.pick(f, pins()["tools"][n]["fits"]) for n, f in found.items()}
    urls = {n: choose.command_urls(n)[0] for n in found if fitting[n] is None}
    reached = download.reachable(list(urls.values())) if urls else {}
    choices = [choose.command(n, f, reached.get(urls.get(n, ""), False)) for n, f in found.items()]
    choices = [_downloaded(c) if c.kind == DOWNLOAD else c for c in choices]
    to_build = [c.name for c in choices if c.kind == BUILD]
    if to_build:
        # All that is to be built in one go, so that "3 of 9" counts to the end of the wait.
        builds.build(builds.names() if local else to_build)
    return [c.at(builds.location(c.name)) if c.kind == BUILD else c for c in choices]


def _downloaded(choice: Choice) -> Choice:
    """The choice with its download made; where that fails after all, the build instead."""
    url, checksums, member = choose.command_urls(choice.name)
    try:
        return choice.at(download.fetch(choice.name, choice.version, url, checksums, member))
    except ToolchainError as error:
        built = choose.command(choice.name, [], reached=False)
        return Choice(choice.name, BUILD, built.version, str(error))


def _plugins(pulumi: Path) -> list[Choice]:
    """The resource plugins; the ones that are not installed are tried to download once."""
    home = installed.user_pulumi_home(os.environ)
    choices = []
    for name, version in choose.plugin_versions().items():
        ambient = [
            Found(path, installed.version_of(path, ["--version"]))
            for path in installed.executables(f"pulumi-resource-{name}", _folders())
        ]
        choice = choose.plugin(name, version, ambient, installed.plugins(home, name), False)
        if choice.kind == STANDIN and _install_official(pulumi, home, name, version):
            choice = choose.plugin(name, version, ambient, installed.plugins(home, name), True)
        choices.append(choice)
    return choices


def _install_official(pulumi: Path, home: Path, name: str, version: str) -> bool:
    """Try `pulumi plugin install` for the official plugin; whether it is there now."""
    machine = download.machine()
    file = f"pulumi-resource-{name}-v{version}-{machine['os']}-{machine['go_arch']}.tar.gz"
    url = f"https://get.pulumi.com/releases/plugins/{file}"
    if not download.reachable([url])[url]:
        return False
    settings = {**os.environ, "PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    install = [str(pulumi), "plugin", "install", "resource", name, version]
    return subprocess.run(install, env=settings, check=False).returncode == 0


def _links(
    commands: list[Choice], plugins: list[Choice], language: Choice, home: Path | None
) -> dict[str, Path]:
    """What .tinderbox/bin holds: the commands; the stand-in language host; and official plugins
    that the engine would not find, being of another version than the SDK's or in a PULUMI_HOME
    that is not the one in use (the engine takes any version that is on PATH)."""
    links = {choice.name: Path(choice.path) for choice in commands}
    if language.kind == STANDIN:
        links["pulumi-language-python"] = Path(language.path)
    asked = choose.plugin_versions()
    for choice in plugins:
        on_path = Path(choice.path).parent in _folders()
        if choice.kind != STANDIN and not on_path and (home or choice.version != asked[choice.name]):
            links[f"pulumi-resource-{choice.name}"] = Path(choice.path)
    return links


def _link(links: Mapping[str, Path]) -> None:
    """Make .tinderbox/bin hold just these links."""
    paths.BIN.mkdir(parents=True, exist_ok=True)
    for old in paths.BIN.iterdir():
        if old.name not in links:
            old.unlink()
    for name, target in links.items():
        fresh = paths.BIN / f".{name}.{os.getpid()}"
        fresh.symlink_to(target)
        fresh.replace(paths.BIN / name)


def _report(choices: list[Choice]) -> None:
    """Say for each what was chosen and why, and name stand-ins as stand-ins."""
    for choice in choices:
        if choice.kind != STANDIN:
            print(f"tools: {choice.name} {choice.version} {choice.kind}: {choice.path} ({choice.why})")
    standins = [c for c in choices if c.kind == STANDIN]
    for why in dict.fromkeys(c.why for c in standins):
        names = ", ".join(f"{c.name} {c.version}".strip() for c in standins if c.why == why)
        print(f"tools: STAND-INS, not Pulumi's own, for: {names} ({why}; see toolchain/standins)")


def _debian_packages() -> None:
    """Install what is missing. Java is for running Spark's jobs by hand and their tests: a user
    who may not install it is told, not stopped."""
    for command, package in PACKAGES.items():
        if shutil.which(command):
            continue
        try:
            debian.install([package], f"for {command}")
        except ToolchainError as error:
            if command != "java":
                raise
            print(f"tools: {error}; only spark_jobs by hand and their tests need it")


def _stamp(environment: Mapping[str, str]) -> str:
    """A digest of all that the choices hang on: our sources and pins, and what is installed."""
    own = [f for f in (paths.CHECKOUT / "toolchain").rglob("*") if f.is_file()]
    own = [f for f in own if "__pycache__" not in f.parts]
    own += [paths.CHECKOUT / name for name in venv.REQUIREMENTS]
    folders = installed.path_folders(environment)
    home = installed.user_pulumi_home(environment)
    names = [*WATCHED, *(f"pulumi-resource-{name}" for name in pins()["plugins"])]
    there = [p for name in names for p in installed.executables(name, [*folders, home / "bin"])]
    facts = [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in there]
    cached = sorted(str(p) for p in (home / "plugins").glob("resource-*"))
    rest = json.dumps([facts, cached, str(home), str(paths.cache_dir())])
    return paths.digest_of(paths.digest_of_files(paths.CHECKOUT, set(own)), rest)


def _valid(stamp: str) -> bool:
    """Whether the last `tools` chose from the same inputs and all that it chose is still there."""
    try:
        record = env.chosen()
    except ToolchainError:
        return False
    links = {c["name"]: c["path"] for c in record["choices"]}
    commands = all(os.path.realpath(paths.BIN / n) == os.path.realpath(links[n]) for n in pins()["tools"])
    there = commands and all(os.access(path, os.X_OK) for path in links.values())
    place = venv.folder()
    linked = paths.VENV.is_symlink() and paths.VENV.readlink() == place
    return record["stamp"] == stamp and there and linked and venv.ready(place)
