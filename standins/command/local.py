"""local.Command: a command on the machine where Pulumi runs."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

from standins.base import Archive, Asset, Call, ReadResult, StandinError
from standins.command.output import Output, failure, logged_streams
from standins.command.resource import CommandResource

# How long a command that was asked to stop may take before it is killed, in seconds.
_PATIENCE = 5.0


class LocalCommand(CommandResource):
    """Runs in a shell (or `interpreter`) in `dir`; gathers files by `assetPaths`/`archivePaths`."""

    token = "command:local:Command"
    inputs = frozenset(
        {
            "addPreviousOutputInEnv",
            "archivePaths",
            "assetPaths",
            "create",
            "delete",
            "dir",
            "environment",
            "interpreter",
            "logging",
            "stdin",
            "triggers",
            "update",
        }
    )

    def read(self, call: Call) -> ReadResult | None:
        """The state as it is. The engine sends assets without their paths: they are found again."""
        folder = Path(call.state.get("dir") or os.getcwd())
        return ReadResult(call.id, call.old_inputs, {**call.state, **_gathered(folder, call.state)})

    def run(
        self, call: Call, command: str, properties: dict[str, Any], before: dict[str, Any]
    ) -> dict[str, Any]:
        folder = properties.get("dir") or os.getcwd()
        own, previous = self.environment(properties, before)
        output = Output(logged_streams(properties.get("logging")))
        process = self._start(properties, command, folder, {**os.environ, **own, **previous})
        stdin = (properties.get("stdin") or "").encode()
        finished = _serve(process, stdin, output)
        output.follow(call, done=finished.is_set, stop=lambda: _stop(process))
        code = process.wait()
        if code:
            how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            raise failure(call, how, command, output)
        found = {"stdout": output.value("stdout"), "stderr": output.value("stderr")}
        return {**found, **_gathered(Path(folder), properties)}

    def _start(
        self, properties: dict[str, Any], command: str, folder: str, environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        arguments = [*(properties.get("interpreter") or ["/bin/sh", "-c"]), command]
        try:
            return subprocess.Popen(
                arguments,
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise StandinError(f"can't start {arguments[0]} in {folder}: {error}") from None


def _serve(process: subprocess.Popen[bytes], stdin: bytes, output: Output) -> threading.Event:
    """Feed the command and take its output, in threads; the event is set when all is over."""
    finished = threading.Event()
    work = [
        threading.Thread(target=_read, args=(process, "stdout", output), daemon=True),
        threading.Thread(target=_read, args=(process, "stderr", output), daemon=True),
        threading.Thread(target=_write, args=(process, stdin), daemon=True),
    ]

    def finish() -> None:
        for thread in work:
            thread.join()
        process.wait()
        finished.set()
        output.wake()

    for thread in (*work, threading.Thread(target=finish, daemon=True)):
        thread.start()
    return finished


def _read(process: subprocess.Popen[bytes], name: str, output: Output) -> None:
    pipe = process.stdout if name == "stdout" else process.stderr
    assert pipe is not None
    while data := os.read(pipe.fileno(), 65536):
        output.feed(name, data)


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(data)
        process.stdin.close()
    except BrokenPipeError:
        pass  # the command ended without reading all of it, which is its right


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the command and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=_PATIENCE)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def _gathered(folder: Path, properties: dict[str, Any]) -> dict[str, Any]:
    """The outputs `assets` and `archive`, where the program asked for them."""
    outputs: dict[str, Any] = {}
    if properties.get("assetPaths") is not None:
        outputs["assets"] = matching_files(folder, properties["assetPaths"])
    if properties.get("archivePaths") is not None:
        outputs["archive"] = Archive(assets=matching_files(folder, properties["archivePaths"]))
    return outputs


def matching_files(folder: Path, patterns: list[str]) -> dict[str, Asset]:
    """The files below `folder` that `patterns` choose, by their path relative to it.

    `*` matches within a folder, `**` across folders, `!` before a pattern takes files out again;
    the patterns count in their order.
    """
    rules = [(p.startswith("!"), _glob(p.removeprefix("!"))) for p in patterns]
    found: dict[str, Asset] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        for exclude, pattern in rules:
            if not pattern.fullmatch(name):
                continue
            if exclude:
                found.pop(name, None)
            else:
                found[name] = Asset(hashlib.sha256(file.read_bytes()).hexdigest(), str(file))
    return found


def _glob(pattern: str) -> re.Pattern[str]:
    """A file pattern as a regular expression: `*`, `**`, `?`, `[a-z]`, `[!a]`, `{a,b}`."""
    parts = []
    for token in re.findall(r"\*\*|\[[^\]]+\]|\{[^}]+\}|.", pattern, re.S):
        if token == "**":
            parts.append(".*")
        elif token == "*":
            parts.append("[^/]*")
        elif token == "?":
            parts.append("[^/]")
        elif token.startswith("[") and len(token) > 1:
            parts.append(token.replace("[!", "[^", 1))
        elif token.startswith("{") and len(token) > 1:
            parts.append("(?:" + "|".join(re.escape(part) for part in token[1:-1].split(",")) + ")")
        else:
            parts.append(re.escape(token))
    return re.compile("".join(parts), re.S)
