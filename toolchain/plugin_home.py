"""A PULUMI_HOME of our own, in the cache, for plugins that are built here or stand-ins (standins/).

It is laid out as an official one: bin/ has the CLI and its language host side by side, plugins/
what `pulumi plugin install --file` put there, Pulumi's documented way without internet access. The
stand-ins' sources are copied in, so that a plugin does not change under a running engine, nor
vanish with the checkout that made it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from toolchain import paths
from toolchain.errors import ToolchainError
from toolchain.locks import lock

SOURCES = paths.CHECKOUT / "standins"

LAUNCHER = """\
#!/bin/sh
# A STAND-IN for Pulumi's official {what}: see standins/README.md of Tinderbox.
# Its tests have a Python that is warm already.
here=$(dirname -- "$(readlink -f -- "$0")")
PYTHONPATH=$here exec ${{TINDERBOX_WARM:+"$TINDERBOX_WARM"}} {python} -P -m standins.{module} "$@"
"""


def sources() -> list[Path]:
    """The stand-ins' own files: Python, and the README that says what they are."""
    return [
        file
        for file in SOURCES.rglob("*")
        if file.suffix in {".py", ".md", ".json"} and "__pycache__" not in file.parts
    ]


@dataclass(frozen=True)
class Home:
    """What goes into one.

    venv: the environment whose Python runs the stand-ins. pulumi: the CLI that installs them.
    plugins: resource plugins, name to version. built: the executables of those that are no
    stand-ins. cli: the CLI was built here and belongs into bin/. language: the language host is a
    stand-in too.
    """

    venv: Path
    pulumi: Path
    plugins: Mapping[str, str]
    built: Mapping[str, Path]
    cli: bool
    language: bool

    @property
    def location(self) -> Path:
        """CACHE/pulumi-home/<digest12>: the key is all that goes into it."""
        what = json.dumps([asdict(self), LAUNCHER], default=str)
        digest = paths.digest_of(paths.digest_of_files(SOURCES, sources()), what)
        return paths.cache_dir() / "pulumi-home" / digest[:12]

    def make(self) -> Path:
        """Make it if it is not there, and return where it is."""
        home = self.location
        if home.exists():
            return home
        with lock(f"pulumi-home-{home.name}", "the plugins"):
            if home.exists():
                return home
            home.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new.", dir=home.parent) as folder:
                fresh = Path(folder) / "home"
                self._fill(fresh, Path(folder))
                fresh.rename(home)
        return home

    def _fill(self, fresh: Path, scratch: Path) -> None:
        (fresh / "bin").mkdir(parents=True)
        if self.cli:
            # A link, not a copy: the engine looks for its language host beside its own file.
            os.link(self.pulumi, fresh / "bin" / "pulumi")
        if self.language:
            launcher = launcher_text("language host for Python", "language_python", self.venv)
            _write_launcher(fresh / "bin" / "pulumi-language-python", launcher)
            _copy_sources(fresh / "bin" / "standins")
        for name, version in self.plugins.items():
            content = self.built.get(name) or _standin(name, self.venv, scratch)
            _install(self.pulumi, fresh, name, version, content)


def launcher_text(what: str, module: str, venv: Path) -> str:
    """The shell script that starts the stand-in `standins.<module>` from its own folder."""
    return LAUNCHER.format(what=what, module=module, python=venv / "bin" / "python")


def _write_launcher(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o755)


def _copy_sources(to: Path) -> None:
    for file in sources():
        target = to / file.relative_to(SOURCES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _standin(name: str, venv: Path, folder: Path) -> Path:
    """A stand-in's folder as the CLI takes it: the executable, and its sources beside it."""
    content = folder / name
    _copy_sources(content / "standins")
    launcher = launcher_text(f"plugin pulumi-resource-{name}", name, venv)
    _write_launcher(content / f"pulumi-resource-{name}", launcher)
    return content


def _install(pulumi: Path, home: Path, name: str, version: str, content: Path) -> None:
    settings = {**os.environ, "PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    done = subprocess.run(
        [str(pulumi), "plugin", "install", "resource", name, version, "--file", str(content)],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).replace("\n", " ")
        raise ToolchainError(f"installing the plugin {name} {version} failed: {said}")
