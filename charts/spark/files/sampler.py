#!/usr/bin/env python3
"""Samples what Spark's executors use, at the source: their processes in /proc.

    sampler.py FOLDER [--every SECONDS] [--pod]

A worker starts it beside itself, as a child of the same process; it looks for executors below that
process and ends with it. With --pod it runs in a container beside an executor's, in a pod whose
containers share their processes (shareProcessNamespace), and ends after the executor. Each executor
gets a file FOLDER/<application>/executor-<id>.jsonl of

    {"process": "executor 0", "at": 1795265011.2, "cpu": 3.41, "memory": 257503232}

at: Unix seconds. cpu: seconds of CPU since the process began, its children's with it, so that a
sample that comes late or is lost falsifies nothing. memory: resident bytes; what processes share
counts for each, but a fork's is its parent's. The first line is the process's beginning.

measured.py samples a driver with the same functions. Only the standard library, Python 3.10.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: What becomes a part of a path.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Process:
    """One process as /proc/<pid>/stat tells it."""

    parent: int
    cpu: float  # seconds; with those of children that have ended
    memory: int  # resident bytes
    size: int  # of its address space, in bytes
    started: float  # seconds since the machine's start


def processes() -> dict[int, Process]:
    """All processes that /proc shows: in a container, the container's."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with suppress(OSError):  # It may have ended since.
                found[int(entry)] = _parse(Path(f"/proc/{entry}/stat").read_text())
    return found


def _parse(stat: str) -> Process:
    # The name of the program, in parentheses, may hold anything; numbers follow the last one.
    fields = stat.rpartition(")")[2].split()
    return Process(
        parent=int(fields[1]),
        cpu=sum(map(int, fields[11:15])) / _TICKS,
        memory=int(fields[21]) * _PAGE,
        size=int(fields[20]),
        started=int(fields[19]) / _TICKS,
    )


def tree(table: dict[int, Process], root: int) -> set[int]:
    """A process and all below it; empty if it is not there."""
    below: dict[int, list[int]] = {}
    for pid, process in table.items():
        below.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    open_ = [root] if root in table else []
    while open_:
        pid = open_.pop()
        found.add(pid)
        open_ += below.get(pid, [])
    return found


class Samples:
    """One process tree's samples, in a file that grows by a line a sample."""

    def __init__(self, file: Path, process: str) -> None:
        self.file = file
        self._process = process
        self._cpu = 0.0

    def take(self, table: dict[int, Process], root: int) -> None:
        """Add a sample of the tree below `root`; nothing if that has ended."""
        pids = tree(table, root)
        if not pids:
            return
        at = time.time()
        if not self.file.exists():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - table[root].started
            self.add(at - age, 0.0, 0)
        below = [table[pid] for pid in pids]
        # A child as large as its parent has just been forked, and has all its memory from there.
        own = [p for p in below if p.parent not in pids or p.size != table[p.parent].size]
        self.add(at, sum(p.cpu for p in below), sum(p.memory for p in own))

    def add(self, at: float, cpu: float, memory: int) -> None:
        """Add a line. A child that left the tree took its CPU with it: that stays counted."""
        self._cpu = max(self._cpu, cpu)
        line: dict[str, Any] = {"process": self._process, "at": round(at, 3)}
        line |= {"cpu": round(self._cpu, 2), "memory": memory}
        with self.file.open("a") as out:
            out.write(json.dumps(line) + "\n")


def executor_of(command_line: bytes) -> tuple[str, str] | None:
    """(application, executor id) of an executor's command line; None for another's."""
    words = command_line.decode(errors="replace").split("\0")
    if not any(word.endswith("ExecutorBackend") for word in words):
        return None
    options = dict(itertools.pairwise(words))
    app, executor = options.get("--app-id", ""), options.get("--executor-id", "")
    if not (_NAME.fullmatch(app) and _NAME.fullmatch(executor)):
        return None
    return app, executor


def executors(pids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """The executors among some processes: (application, executor id) by pid."""
    found = {}
    for pid in pids:
        with suppress(OSError):
            executor = executor_of(Path(f"/proc/{pid}/cmdline").read_bytes())
            if executor:
                found[pid] = executor
    return found


def ticks(every: float) -> Iterator[None]:
    """Yields at a steady pace; what comes late is not caught up with."""
    following = time.monotonic()
    while True:
        yield
        following = max(following + every, time.monotonic())
        time.sleep(max(0.0, following - time.monotonic()))


def main(argv: list[str] | None = None) -> int:
    """Samples executors until the process that started this one, or the pod's last, has ended."""
    parser = argparse.ArgumentParser(prog="sampler.py", description="Samples Spark's executors.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--pod", action="store_true", help="sample the executor of this pod")
    args = parser.parse_args(argv)
    worker = os.getppid()
    known: dict[int, Samples] = {}
    failed = ""
    for _ in ticks(args.every):
        table = processes()
        running = executors(table if args.pod else tree(table, worker))
        if (known and not running) if args.pod else (os.getppid() != worker):
            return 0
        try:
            for pid, (app, executor) in running.items():
                file = args.folder / app / f"executor-{executor}.jsonl"
                known.setdefault(pid, Samples(file, f"executor {executor}")).take(table, pid)
            failed = ""
        except OSError as error:
            # The volume may be back in a second; what is missing until then is not worth a worker.
            if str(error) != failed:
                failed = str(error)
                print(f"sampler: {error}", file=sys.stderr, flush=True)
        known = {pid: samples for pid, samples in known.items() if pid in running}
    return 0


if __name__ == "__main__":
    sys.exit(main())
