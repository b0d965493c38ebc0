"""One stack, and the calls of the Pulumi CLI for it."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from console import states
from spark_jobs import texts
from toolchain import paths, terminal
from toolchain.env import environment

ROOT = Path(__file__).resolve().parent.parent
LOCAL, PROJECT = "local", "tinderbox"
# The engine's own limit suits work; here nearly all operations wait for a machine.
_PARALLEL = "32"
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = re.compile(rf"(?:{_WORD}/){{0,2}}{_WORD}")
_WORD_COUNT = f"{PROJECT}:wordCount"


class ConsoleError(Exception):
    """Something that the person can mend; the message is one line."""


def find_input(path: str, *, shared: bool = False, encoding: str | None = None) -> str:
    """The text that INPUT= names: in S3, or a file or folder here with links resolved once.

    One in the checkout is named from there (./2026 is no number to Pulumi, ./-x no option), as
    everybody's checkout has it. shared: the stack is that of others, too, who have no other path of
    this machine. Raises ConsoleError where there is none, or none that can be counted.
    """
    if path.startswith("s3a://"):
        return path
    try:
        resolved = Path(path).resolve(strict=True)
    except (OSError, RuntimeError):  # a link to itself is the latter
        raise ConsoleError(
            f"INPUT={path} does not exist; it must be a file or a folder, or s3a://BUCKET/PATH"
        ) from None
    if not str(resolved).isprintable():
        raise ConsoleError(f"INPUT={texts.shown(path)}: no setting can hold this name; rename it")
    try:
        texts.find(str(resolved), texts.encoding_name(encoding or "utf-8"))
    except (texts.TextError, ValueError) as error:
        raise ConsoleError(f"INPUT={path} can't be counted: {error}") from None
    if resolved.is_relative_to(ROOT):
        return f"./{resolved.relative_to(ROOT)}"
    if shared:
        raise ConsoleError(
            f"INPUT={path} is outside of the checkout, and only on this machine; the stack's"
            " configuration is for all who have it: a path in the checkout, or s3a://BUCKET/PATH"
        )
    return str(resolved)


class _Once(yaml.SafeLoader):
    """Takes no key twice, as Pulumi does; of two yaml itself would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is not None and name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{terminal.shown(name)} is there twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_settings(file: Path) -> dict[str, Any]:
    """A stack's configuration file: a mapping with one at `config`.

    Raises ConsoleError with the file and the place where it is none.
    """
    data = file.read_bytes()
    try:
        found = yaml.load(data.decode("utf-8-sig"), _Once)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConsoleError(f"{file}, line {line}: this is not UTF-8; save it as that") from None
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark
        place = f", line {at.line + 1}, column {at.column + 1}" if at else ""
        raise ConsoleError(f"{file}{place}: {error.problem}; it must be YAML") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        words = str(error).split("\n")[0]
        raise ConsoleError(f"{file}: {words}; it must be YAML") from None
    found = {} if found is None else found
    if not isinstance(found, dict) or not isinstance(found.get("config") or {}, dict):
        raise ConsoleError(f"{file}: it must have `config:` with `tinderbox:KEY:` below it")
    config = (found.get("config") or {}).items()
    # An object whose keys are all commented out is null to YAML, and refused by Pulumi.
    return {**found, "config": {key: {} if value is None else value for key, value in config}}


def groups(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a stack's configuration what is this project's: {group: {key: value}}."""
    prefix = f"{PROJECT}:"
    return {
        key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)
    }


def project_groups() -> dict[str, Any]:
    """The same of what Pulumi.yaml sets for all stacks; its own keys have no prefix."""
    config = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    values = {key: entry.get("value", entry.get("default")) for key, entry in config.items()}
    return {key: value for key, value in values.items() if value}


def _word_count(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
    found = settings["config"].get(_WORD_COUNT) or {}
    if not isinstance(found, dict):
        raise ConsoleError(f"{file}: {_WORD_COUNT} must have keys below it")
    return found


@dataclass
class Stack:
    """A stack by its name. A local one keeps state and configuration in the local cloud's folder.

    So the checkout stays as it is in git, and state never outlives the machines that it is about.
    name: as Pulumi takes it, NAME, ORGANIZATION/NAME or ORGANIZATION/PROJECT/NAME. env: the whole
    environment of each call. of_cloud: it is on the local cloud, as `local` always is. config:
    another configuration file than its own. agreed: nobody is asked. Raises ConsoleError for a name
    that is none.
    """

    name: str
    env: dict[str, str] = field(default_factory=dict, repr=False)  # a person's, with keys
    of_cloud: bool = False
    config: Path | None = None
    agreed: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConsoleError(
                f"STACK={self.name} is no stack's name: write NAME, ORGANIZATION/NAME or"
                " ORGANIZATION/PROJECT/NAME, of letters, digits, -, _ and ."
            )
        if self.short_name == LOCAL and not self.is_local:
            raise ConsoleError(f"STACK={self.name}: `{LOCAL}` is the local cloud's; write it alone")
        self.env = self.env or environment(local=self.is_local)
        if self.is_local:
            from localcloud.layout import PULUMI

            self._folder = PULUMI
            self.env["PULUMI_BACKEND_URL"] = f"file://{PULUMI}"
            self.env["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(PULUMI / "passphrase")

    @property
    def short_name(self) -> str:
        """The name without organization and project, as the program knows it."""
        return self.name.rpartition("/")[2]

    @property
    def is_local(self) -> bool:
        """True for a stack on the local cloud."""
        return self.of_cloud or self.name == LOCAL

    @property
    def config_file(self) -> Path:
        """The stack's configuration: the repo's file, or the local cloud's copy of it."""
        if self.config is not None:
            return self.config
        return self._folder / self.shipped_file.name if self.is_local else self.shipped_file

    @property
    def shipped_file(self) -> Path:
        """The configuration in the checkout."""
        return ROOT / f"Pulumi.{self.short_name}.yaml"

    @property
    def folder(self) -> Path:
        """What this checkout keeps of the stack for people: key, last run."""
        return ROOT / ".tinderbox" / self.short_name

    def exists(self) -> bool:
        """Whether the backend knows the stack."""
        if self.is_local:  # its backend's files are quicker than to call Pulumi
            kept = self._folder / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json"
            return (self._folder / "passphrase").exists() and kept.exists()
        qualified = ["--fully-qualify-stack-names"] if "/" in self.name else []
        listed = self.pulumi("stack", "ls", "--json", *qualified, capture=True)
        # All of them are of this project, so the organization and the name tell them apart.
        wanted = self.name.split("/")
        names = [entry["name"].split("/") for entry in json.loads(listed)]
        return any((name[0], name[-1]) == (wanted[0], wanted[-1]) for name in names)

    def check(self) -> dict[str, Any]:
        """The configuration in the checkout. Raises ConsoleError where it can't be read."""
        if not self.shipped_file.exists():
            raise ConsoleError(f"there is no {self.shipped_file.name}; see Pulumi.dev.yaml")
        return read_settings(self.shipped_file)

    def settings(self) -> dict[str, Any]:
        """What is set in the checkout: {group: {key: value}}."""
        return {**project_groups(), **groups(self.check()["config"])}

    @property
    def encoding(self) -> str | None:
        """The setting `wordCount.encoding`, as it stands in the checkout."""
        settings = self.check()["config"].get(_WORD_COUNT)
        found = settings.get("encoding") if isinstance(settings, dict) else None
        return None if found is None else str(found)

    def prepare(self, text: str | None = None) -> None:
        """Makes the stack if need be, and brings its configuration up to date with the checkout's.

        text: the one to count, a file or a folder here or in S3; without it the one chosen before.
        """
        fresh = self.check()
        if not self.is_local:
            if not self.exists():
                self.pulumi("stack", "init", self.name)
            if text is not None:
                self.pulumi("config", "set", "--path", f"{_WORD_COUNT}.input", text, own=True)
            return
        counted = _word_count(self.shipped_file, fresh)
        text = text or _word_count(self.config_file, self._kept()).get("input")
        if text is not None:
            fresh["config"][_WORD_COUNT] = {**counted, "input": text}
        self.configure(fresh)

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Makes a local stack if need be, with settings as `read_settings` has them."""
        salt = self._kept().get("encryptionsalt") or self._init_local()
        written = yaml.safe_dump({**settings, "encryptionsalt": salt}, sort_keys=False)
        paths.replace(self.config_file, written)

    def _kept(self) -> dict[str, Any]:
        return read_settings(self.config_file) if self.config_file.exists() else {"config": {}}

    def _init_local(self) -> str:
        """Makes the stack in a passing folder: `stack init` writes a file beside Pulumi.yaml."""
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(ROOT / "Pulumi.yaml", folder)
            if not self.exists():
                self.pulumi("stack", "init", self.name, cwd=Path(folder))
            made = Path(folder) / f"Pulumi.{self.name}.yaml"
            if not made.exists():
                raise ConsoleError(
                    f"{self.config_file}: the stack's configuration is lost;"
                    " `python -m localcloud down` discards the stack"
                )
            return str(yaml.safe_load(made.read_text())["encryptionsalt"])

    def require_own(self) -> None:
        """Raises CloudError where the local stack is that of another checkout."""
        if self.is_local:
            from localcloud import cloud

            cloud.refuse_foreign()

    def up(self, events: Path, *arguments: str) -> None:
        """Creates or updates everything; asks first where it costs money."""
        log = ("--event-log", str(events))
        self.change("up", *self._agreed, "--parallel", _PARALLEL, *log, *arguments)

    def refresh(self) -> None:
        """Brings the state up to date with what there is; asks first as `up` does.

        What is in a cluster that does not answer stays in it: its control plane may come back.
        """
        # States of before say nothing of it to the plugin (components/cluster/cluster.py).
        env = {"PULUMI_K8S_SKIP_UPDATE_UNREACHABLE": "true"}
        self.change("refresh", *self._agreed, "--parallel", _PARALLEL, more=env)

    def preview(self, *arguments: str) -> None:
        """Shows what an update would change."""
        self.change("preview", *arguments)

    def destroy(self) -> None:
        """Takes everything away; asks first where it is not the local cloud."""
        self.change("destroy", *self._agreed, "--parallel", _PARALLEL)
        self._adopted.unlink(missing_ok=True)
        shutil.rmtree(self.mark("grown"), ignore_errors=True)

    def change(self, verb: str, *arguments: str, more: Mapping[str, str] | None = None) -> None:
        """The one way to all that compares the state with what there is or ought to be."""
        self._adopt()
        self.pulumi(verb, *arguments, own=True, more=more)

    @property
    def _agreed(self) -> Sequence[str]:
        return ("--yes", "--skip-preview") if self.is_local or self.agreed else ()

    @property
    def _adopted(self) -> Path:
        """Is there where the state needs no look."""
        return self.mark("adopted")

    def mark(self, what: str) -> Path:
        """Where something is kept of the stack; of the local one it goes as the state does."""
        folder = self._folder if self.is_local else self.folder
        return folder / f"{self.name.replace('/', '.')}.{what}"

    def _adopt(self) -> None:
        """Completes a state of the stand-in's (console/states.py), once. It stays encrypted."""
        if self._adopted.exists():
            return
        state = self.state()
        if found := states.adopt(state):
            what = f"{found} Kubernetes objects of an earlier plugin's"
            print(f"state: {what} are written anew", flush=True)
            self.import_state(state)
        self._adopted.parent.mkdir(parents=True, exist_ok=True)
        self._adopted.touch()

    def state(self, *, secrets: bool = False) -> dict[str, Any]:
        """The state as Pulumi exports it; what is secret in it stays encrypted unless asked for."""
        plain = ["--show-secrets"] if secrets else []
        return json.loads(self.pulumi("stack", "export", "-s", self.name, *plain, capture=True))

    def import_state(self, state: dict[str, Any]) -> None:
        """Puts a state in the place of the one that there is; what is secret in it is encrypted."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "state.json"
            file.write_text(json.dumps(state), "utf-8")
            self.pulumi("stack", "import", "-s", self.name, "--file", str(file), capture=True)

    def _free(self) -> None:
        """Of a local stack: puts right what a process that was killed left of the backend's files.

        Its locks go, and an empty file of attributes, which the backend writes in two steps: it
        does without one, but can't read that.
        """
        if not self.is_local:
            return
        files = self._folder / ".pulumi"
        for lock in files.glob(f"locks/organization/{PROJECT}/{self.short_name}/*.json"):
            pid = json.loads(lock.read_text())["pid"]
            program = Path(f"/proc/{pid}/exe")  # of one that is killed it leads nowhere
            if not program.exists() or program.readlink().name != "pulumi":
                lock.unlink(missing_ok=True)
                # Not among what a verb shows.
                terminal.complain(f"state: process {pid} held it and was killed; it is free")
        for attributes in files.rglob("*.attrs"):
            if attributes.stat().st_size == 0:
                attributes.unlink()

    def history(self) -> list[dict[str, Any]]:
        """The latest hundred updates, the newest first; a group with a secret has no value."""
        latest = ("--json", "--page", "1", "--page-size", "100", "-s", self.name)
        return json.loads(self.pulumi("stack", "history", *latest, capture=True))

    def nodes(self) -> list[dict[str, Any]]:
        """The records of the output `nodes`, the control plane first; none where there are none."""
        return (self.outputs().get("nodes") or []) if self.exists() else []

    def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
        """The stack's outputs; secret ones only when asked for."""
        show = ["--show-secrets"] if secrets else []
        printed = self.pulumi("stack", "output", "--json", *show, "-s", self.name, capture=True)
        return json.loads(printed)

    def pulumi(
        self,
        *arguments: str,
        own: bool = False,
        capture: bool = False,
        cwd: Path = ROOT,
        more: Mapping[str, str] | None = None,
    ) -> str:
        """Runs the CLI. own: for this stack and its configuration. capture: returns the output.

        more: of the environment, for this call.

        Raises ConsoleError when it fails; it has said why by then.
        """
        self._free()
        command = ["pulumi", "--non-interactive", *arguments]
        if own:
            command += ["--stack", self.name, "--config-file", str(self.config_file)]
            if sys.stdin.isatty() and not self.is_local:
                command.remove("--non-interactive")
        # --event-log is one of the commands' debugging flags.
        env = {**self.env, "PULUMI_DEBUG_COMMANDS": "true", **(more or {})}
        # Plugins leave files there: that of Kubernetes its credentials, for each call with charts.
        with tempfile.TemporaryDirectory(prefix="pulumi-", ignore_cleanup_errors=True) as passing:
            env["TMPDIR"] = passing
            code, printed = terminal.attend(command, capture=capture, cwd=cwd, env=env)
        if code != 0:
            raise ConsoleError(f"pulumi {arguments[0]} failed (exit code {code})")
        return printed


def require_stack(stack: Stack) -> None:
    """Raises ConsoleError where the backend doesn't know it."""
    if not stack.exists():
        raise ConsoleError(f"there is no stack {stack.name}; `make up` makes one")
