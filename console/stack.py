"""One stack, and the calls of the Pulumi CLI for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from toolchain.env import environment

ROOT = Path(__file__).resolve().parent.parent
LOCAL = "local"
# The engine's own limit suits work; here nearly all operations wait for a machine.
_PARALLEL = "32"


class ConsoleError(Exception):
    """Something that the person can mend; the message is one line."""


def find_input(path: str) -> str:
    """The text that INPUT= names: in S3, or a file or folder here with links resolved once.

    Raises ConsoleError where there is none.
    """
    if path.startswith("s3a://"):
        return path
    resolved = Path(path).resolve()
    if not resolved.exists():
        raise ConsoleError(
            f"INPUT={path} does not exist; it must be a file or a folder, or s3a://BUCKET/PATH"
        )
    return str(resolved)


@dataclass
class Stack:
    """A stack by its name. The local one keeps state and configuration in the local cloud's folder.

    So the checkout stays as it is in git, and state never outlives the machines that it is about.
    """

    name: str
    env: dict[str, str] = field(default_factory=environment)

    def __post_init__(self) -> None:
        if self.is_local:
            from localcloud.layout import PULUMI

            self._folder = PULUMI
            self.env["PULUMI_BACKEND_URL"] = f"file://{PULUMI}"
            self.env["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(PULUMI / "passphrase")
            self.env.pop("PULUMI_CONFIG_PASSPHRASE", None)

    @property
    def is_local(self) -> bool:
        """True for the stack on the local cloud."""
        return self.name == LOCAL

    @property
    def config_file(self) -> Path:
        """The stack's configuration: the repo's file, or the local cloud's copy of it."""
        file = f"Pulumi.{self.name}.yaml"
        return self._folder / file if self.is_local else ROOT / file

    @property
    def folder(self) -> Path:
        """What this checkout keeps of the stack for people: key, last run."""
        return ROOT / ".tinderbox" / self.name

    def exists(self) -> bool:
        """Whether the backend knows the stack."""
        if self.is_local and not (self._folder / "passphrase").exists():
            return False
        listed = self.pulumi("stack", "ls", "--json", capture=True)
        return any(entry["name"].split("/")[-1] == self.name for entry in json.loads(listed))

    def prepare(self) -> None:
        """Makes the stack if need be, and brings its configuration up to date with the repo's."""
        if not (ROOT / f"Pulumi.{self.name}.yaml").exists():
            raise ConsoleError(f"there is no Pulumi.{self.name}.yaml; see Pulumi.dev.yaml")
        if not self.is_local:
            if not self.exists():
                self.pulumi("stack", "init", self.name)
            return
        kept = yaml.safe_load(self.config_file.read_text()) if self.config_file.exists() else {}
        if not kept.get("encryptionsalt"):
            kept["encryptionsalt"] = self._init_local()
        fresh = yaml.safe_load((ROOT / f"Pulumi.{self.name}.yaml").read_text())
        fresh["encryptionsalt"] = kept["encryptionsalt"]
        chosen = kept.get("config", {}).get("tinderbox:wordCount", {}).get("input")
        if chosen is not None:
            fresh["config"].setdefault("tinderbox:wordCount", {})["input"] = chosen
        self.config_file.write_text(yaml.safe_dump(fresh, sort_keys=False))

    def _init_local(self) -> str:
        """Makes the stack in a passing folder: `stack init` writes a file beside Pulumi.yaml."""
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(ROOT / "Pulumi.yaml", folder)
            if not self.exists():
                self.pulumi("stack", "init", self.name, cwd=Path(folder))
            made = Path(folder) / f"Pulumi.{self.name}.yaml"
            if not made.exists():
                raise ConsoleError(
                    f"the stack in {self._folder} has lost its configuration:"
                    " `python -m localcloud down` discards it"
                )
            return str(yaml.safe_load(made.read_text())["encryptionsalt"])

    def choose_input(self, text: str) -> None:
        """Sets the text to count: a file or a folder here, or in S3."""
        self.pulumi("config", "set", "--path", "tinderbox:wordCount.input", text, own=True)

    def up(self, events: Path) -> None:
        """Creates or updates everything; asks first where it costs money."""
        agreed = ["--yes", "--skip-preview"] if self.is_local else []
        self.pulumi("up", *agreed, "--parallel", _PARALLEL, "--event-log", str(events), own=True)

    def preview(self, *arguments: str) -> None:
        """Shows what an update would change."""
        self.pulumi("preview", *arguments, own=True)

    def destroy(self) -> None:
        """Takes everything away; asks first where it is not the local cloud."""
        agreed = ["--yes", "--skip-preview"] if self.is_local else []
        self.pulumi("destroy", *agreed, "--parallel", _PARALLEL, own=True)

    def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
        """The stack's outputs; secret ones only when asked for."""
        show = ["--show-secrets"] if secrets else []
        printed = self.pulumi("stack", "output", "--json", *show, "-s", self.name, capture=True)
        return json.loads(printed)

    def pulumi(
        self, *arguments: str, own: bool = False, capture: bool = False, cwd: Path = ROOT
    ) -> str:
        """Runs the CLI. own: for this stack and its configuration. capture: returns the output.

        Raises ConsoleError when it fails; it has said why by then.
        """
        command = ["pulumi", "--non-interactive", *arguments]
        if own:
            command += ["--stack", self.name, "--config-file", str(self.config_file)]
            if sys.stdin.isatty() and not self.is_local:
                command.remove("--non-interactive")
        done = subprocess.run(
            command,
            cwd=cwd,
            # --event-log is one of the commands' debugging flags.
            env={**os.environ, **self.env, "PULUMI_DEBUG_COMMANDS": "true"},
            stdout=subprocess.PIPE if capture else None,
            text=True,
        )
        if done.returncode != 0:
            raise ConsoleError(f"pulumi {arguments[0]} failed (exit code {done.returncode})")
        return done.stdout or ""
