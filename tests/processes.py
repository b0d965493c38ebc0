"""Processes that tests start and that none of them may outlive."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

#: In the temporary folder of a run of tests: what ends when the run does.
ALIVE = "alive"
_STARTED: list[subprocess.Popen[str]] = []


def bound(command: Sequence[str | Path]) -> list[str | Path]:
    """The command as one that is killed when this process ends, however that ends.

    A fixture's end does the same, but a process of pytest-xdist may be killed before it gets there.
    """
    tool = shutil.which("setpriv")
    return [*((tool, "--pdeathsig", "KILL") if tool else ()), *command]


def shared(name: str, command: Sequence[str | Path]) -> str:
    """The line that the run's one process of that name printed; who asks first starts it.

    It ends by itself when its standard input does, and that is when the run is over.
    """
    folder = Path(tempfile.gettempdir())
    said = folder / f"{name}.said"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            with (folder / ALIVE).open("rb") as alive:
                started = subprocess.Popen(
                    command, stdin=alive, stdout=subprocess.PIPE, start_new_session=True, text=True
                )
            assert started.stdout
            line = started.stdout.readline()
            assert line, f"{name} has ended"
            _STARTED.append(started)
            said.write_text(line)
    return said.read_text().strip()
