"""Runs the nodes' scripts here: a folder is the node's root, and commands are noted, not run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from components.cluster.steps import read_script, shell_input

# What a script may name by an absolute path.
_FOLDERS = (
    "/etc/",
    "/srv/",
    "/usr/local/",
    "/proc/sys/net/",
    "/run/tinderbox/",
    "/sys/fs/",
    "/var/lib/",
)

# Noted by one write, as the commands of a pipe note themselves at the same time.
_NOTE = r"""#!/bin/bash
called=${0##*/}
(($# == 0)) || called+=$(printf ' %s' "$@")
printf '%s\n' "$called" >>"$SANDBOX/calls"
"""


class Sandbox:
    """A place for one node's scripts to run in."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._bin = folder / "bin"
        self.temporary = folder / "tmp"
        self._folder = folder
        for place in (self.root, self._bin, self.temporary):
            place.mkdir()
        (self.root / "etc").mkdir()
        (self.root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")

    def fake(self, name: str, body: str = "") -> None:
        """A command of that name that notes its call, then does what the body (bash) says."""
        file = self._bin / name
        file.write_text(f"{_NOTE}{body}\n")
        file.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        """The calls of a command so far, each as one line without the command's name."""
        noted = self._folder / "calls"
        lines = noted.read_text().splitlines() if noted.exists() else []
        return [line.partition(" ")[2] for line in lines if line.split(" ")[0] == name]

    def file(self, path: str, content: str | None = None) -> Path:
        """The place of an absolute path of the node; with content, it is written first."""
        place = self.root / path.lstrip("/")
        if content is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)
        return place

    def run(self, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Bash on standard input, as `sudo bash -s` reads it on a node."""
        for folder in _FOLDERS:
            text = text.replace(folder, f"{self.root}{folder}")
        environment = {
            **os.environ,
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "SANDBOX": str(self._folder),
            "SUDO_UID": str(os.getuid()),
            "TMPDIR": str(self.temporary),
        }
        return subprocess.run(
            ["bash", "-s", *arguments],
            input=text,
            env=environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=20,
        )

    def step(self, *scripts: str, argument: str = "", **values: object):
        """Runs scripts of components/cluster/scripts as one step, with these values."""
        text = "\n".join(read_script(script) for script in scripts)
        return self.run(shell_input(text, values), *filter(None, [argument]))
