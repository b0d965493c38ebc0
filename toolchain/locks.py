"""Locks between processes, so that two builds at once wait for each other instead of colliding."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

from toolchain import paths


@contextmanager
def lock(name: str, what: str) -> Generator[None]:
    """Hold CACHE/locks/<name>.lock; where another process holds it, say so and wait.

    The kernel frees the lock when its holder ends, however it ends, so nothing is ever stale.
    `what` is how the wait is called in the message, such as "the build of kubernetes".
    """
    folder = paths.cache_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            print(f"tools: waiting for {what}: process {holder} is at it", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        # The holder's id is for the message above only; the lock itself is the kernel's.
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
