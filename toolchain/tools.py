"""What `make tools` does: packages, Python environment, CLI, plugins, and the links in .tinderbox.

A stamp over all that goes into the choices makes a second call cost next to nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from toolchain import builds, choose, debian, download, env, installed, paths, plugin_home, venv
from toolchain.choose import (
    BUILD,
    DOWNLOAD,
    LANGUAGE_HOST,
    OURS,
    STANDIN,
    Choice,
    plugin_command,
)
from toolchain.errors import ToolchainError
from toolchain.installed import Found
from toolchain.locks import lock
from toolchain.progress import elapsed
from toolchain.versions import pins

#: Executables of the user's that would change a choice.
WATCHED = ("pulumi", "helm", "kubectl", LANGUAGE_HOST)


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
            with venv.making() as environment:
                _choose_and_make(stamp, environment, local)
    if local:
        builds.build(_for_local())
    chosen = [Choice(**fields) for fields in env.chosen()["choices"]]
    names = [f"{choice.title} ({choice.kind})" for choice in chosen]
    print(f"tools: ready in {elapsed(time.monotonic() - start)}: {', '.join(names)}")


def _choose_and_make(stamp: str, environment_made: Callable[[], Path], local: bool) -> None:
    """Choose, say why, fetch and build what is chosen, and write the links and the record."""
    commands = _commands(local)
    environment = environment_made()
    cli = next(choice for choice in commands if choice.name == "pulumi")
    plugins = _plugins(Path(cli.path), environment / "bin" / "python")
    host = choose.language_host(Path(cli.path), installed.executables(LANGUAGE_HOST, _folders()))
    everything = [*commands, *plugins, host]
    home = None
    ours = [choice for choice in plugins if choice.kind in OURS]
    if ours or host.kind == STANDIN:
        home = plugin_home.Home(
            environment,
            Path(cli.path),
            {choice.name: choice.version for choice in ours},
            {choice.name: Path(choice.path) for choice in ours if choice.kind == BUILD},
            cli=cli.kind == BUILD,
            language=host.kind == STANDIN,
        ).make()
        everything = [_in_home(choice, home) for choice in everything]
    _report(everything)
    _link(_links(everything, home))
    record = {
        "stamp": stamp,
        "home": str(home) if home else None,
        "choices": [asdict(choice) for choice in everything],
    }
    paths.replace(env.CHOSEN, json.dumps(record, indent=1) + "\n")


def _in_home(choice: Choice, home: Path) -> Choice:
    """The choice with its place in the PULUMI_HOME of our own, where it belongs there."""
    if choice.kind in OURS and choice.name in ("pulumi", LANGUAGE_HOST):
        return choice.at(home / "bin" / choice.name)
    if choice.kind in OURS and choice.name in choose.plugin_versions():
        folder = home / "plugins" / f"resource-{choice.name}-v{choice.version}"
        return choice.at(folder / plugin_command(choice.name))
    return choice


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
        builds.build([*_for_local(), *to_build] if local else to_build)
    return [c.at(builds.location(c.name)) if c.kind == BUILD else c for c in choices]


def _for_local() -> list[str]:
    """What the local cloud has to have built; the user's own CLI and plugins do as well as ours."""
    return [name for name in builds.names() if not name.startswith("pulumi")]


def _downloaded(choice: Choice) -> Choice:
    """The choice with its download made; where that fails after all, the build instead."""
    url, checksums, member = choose.command_urls(choice.name)
    try:
        return choice.at(download.fetch(choice.name, choice.version, url, checksums, member))
    except ToolchainError as error:
        built = choose.command(choice.name, [], reached=False)
        return Choice(choice.name, BUILD, built.version, str(error))


def _plugins(pulumi: Path, python: Path) -> list[Choice]:
    """The resource plugins; the ones that are not installed are tried to download once."""
    home = installed.user_pulumi_home(os.environ)
    choices = []
    for name, version in choose.plugin_versions().items():
        ambient = [
            Found(path, installed.plugin_version(python, path))
            for path in installed.executables(plugin_command(name), _folders())
        ]
        choice = choose.plugin(name, version, ambient, installed.plugins(home, name), False)
        if choice.kind in OURS and _install_official(pulumi, home, name, version):
            choice = choose.plugin(name, version, ambient, installed.plugins(home, name), True)
        if choice.kind == BUILD:
            choice = choice.at(builds.binary(plugin_command(name)))
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


def _links(choices: list[Choice], home: Path | None) -> dict[str, Path]:
    """What .tinderbox/bin holds: the commands, a stand-in language host, and the plugins that the
    engine would not take otherwise. It takes one of any version on PATH before all others, then
    just the version that the SDK asks for from the PULUMI_HOME in use."""
    plugins = choose.plugin_versions()
    links = {}
    for choice in choices:
        if choice.name not in plugins:
            if choice.name != LANGUAGE_HOST or choice.kind == STANDIN:
                links[choice.name] = Path(choice.path)
            continue
        executable = plugin_command(choice.name)
        ambient = installed.executables(executable, _folders())
        elsewhere = choice.kind not in OURS and home is not None
        other_version = choice.version != plugins[choice.name]
        if (str(ambient[0]) != choice.path) if ambient else (elsewhere or other_version):
            links[executable] = Path(choice.path)
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
            print(f"tools: {choice.title}, {choice.kind} ({choice.why}): {choice.path}")
    standins = [c for c in choices if c.kind == STANDIN]
    for why in dict.fromkeys(c.why for c in standins):
        names = ", ".join(choice.title for choice in standins if choice.why == why)
        print(f"tools: STAND-INS, not Pulumi's own, for: {names} ({why}; see standins/README.md)")


def _debian_packages() -> None:
    """Install what is missing. Java is for running Spark's jobs by hand and their tests: a user
    who may not install it is told, not stopped."""
    certificates = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    if not Path(certificates).exists():
        debian.install(["ca-certificates"], "to check what is downloaded")
    if not shutil.which("ssh-keygen"):
        debian.install(["openssh-client"], "to make the stack's key")
    if not shutil.which("java"):
        try:
            debian.install(["default-jre-headless"], "for spark_jobs by hand and their tests")
        except ToolchainError as error:
            print(f"tools: going on without Java; {error}")


def _own_files() -> set[Path]:
    """All of the checkout that the choices and what is made of them hang on."""
    own = {f for f in (paths.CHECKOUT / "toolchain").rglob("*") if f.is_file()}
    own = {f for f in own if "__pycache__" not in f.parts}
    return own | {paths.CHECKOUT / name for name in venv.REQUIREMENTS} | {*plugin_home.sources()}


def _stamp(environment: Mapping[str, str]) -> str:
    """A digest of all that the choices hang on: our sources and pins, and what is installed."""
    folders = installed.path_folders(environment)
    home = installed.user_pulumi_home(environment)
    names = [*WATCHED, *map(plugin_command, pins()["plugins"])]
    there = [p for name in names for p in installed.executables(name, [*folders, home / "bin"])]
    facts = [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in there]
    cached = sorted(str(p) for p in (home / "plugins").glob("resource-*"))
    rest = json.dumps([facts, cached, str(home), str(paths.cache_dir())])
    return paths.digest_of(paths.digest_of_files(paths.CHECKOUT, _own_files()), rest)


def _valid(stamp: str) -> bool:
    """Whether the last `tools` chose from the same inputs and all that it chose is still there."""
    try:
        record = env.chosen()
    except ToolchainError:
        return False
    choices = {choice["name"]: choice["path"] for choice in record["choices"]}
    linked = all(
        os.path.realpath(paths.BIN / name) == os.path.realpath(choices[name])
        for name in pins()["tools"]
    )
    there = all(os.access(path, os.X_OK) for path in choices.values())
    place = venv.folder()
    python = paths.VENV.is_symlink() and paths.VENV.readlink() == place and venv.ready(place)
    return record["stamp"] == stamp and linked and there and python
