"""Processes that tests start and that none of them may outlive."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path


def bound(command: Sequence[str | Path]) -> list[str | Path]:
    """The command as one that is killed when this process ends, however that ends.

    A fixture's end does the same, but a process of pytest-xdist may be killed before it gets there.
    """
    tool = shutil.which("setpriv")
    return [*((tool, "--pdeathsig", "KILL") if tool else ()), *command]
