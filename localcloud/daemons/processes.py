"""Daemons of the local cloud: started in a session of their own, known by more than a number."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.host import cgroups
from localcloud.host.shell import wait_until
from toolchain import env


@dataclass(frozen=True)
class Process:
    """A process: its id, and its start in clock ticks since boot, since ids are used again."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return identify(self.pid) == self


def identify(pid: int) -> Process | None:
    """The process with this id; None if there is none or it is only waiting to be reaped."""
    try:
        # The command's name stands in brackets and may hold anything, brackets too.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def start(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Process:
    """Start a daemon that outlives us, with its output appended to `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            cgroups.joining(cgroups.create(cgroups.SERVICES), command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**env.daemon(), **(environment or {})},
            umask=0o022,
            cwd="/",
            start_new_session=True,
        )
    process = identify(child.pid)
    if process is None:
        raise CloudError(f"{command[0]} ended at once; its words are in {log}")
    return process


def end(process: Process, seconds: float = 3) -> None:
    """End the process: asked first, then made to. One that is not there is fine."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not process.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        if wait_until(lambda: not process.alive, seconds):
            return
    raise CloudError(f"process {process.pid} does not end")
