#!/usr/bin/env python3
"""Samples what Spark's executors use, at the source: their processes in /proc.

    sampler.py FOLDER [--every SECONDS] [--pod]

A worker starts it beside itself, as a child of the same process; it looks for executors below that
process and ends with it. With --pod it runs in a container beside an executor's, in a pod whose
containers share their processes (shareProcessNamespace), and ends after the executor. Each executor
gets a file FOLDER/<application>/executor-<id>.jsonl of

    {"process": "executor 0", "at": 1795265011.2, "cpu": 3.41, "memory": 257503232}

and, where the kernel killed a process beside it for memory, FOLDER/.../executor-<id>.json:
{"oomKills": 1, "limitMiB": 1536.0}, of its container. Of an executor that a worker started, the
last that it printed is in executor-<id>.log; a pod's keeps that itself (last_words.py).

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
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Bytes of an executor's last words.
_KEPT = 64 << 10
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


class Executor:
    """What is known of one executor, in its files."""

    def __init__(self, folder: Path, pid: int, app: str, id_: str) -> None:
        self._stem = folder / app / f"executor-{id_}"
        self._pid, self._work = pid, Path(f"/proc/{pid}/cwd")
        self._samples = Samples(self._stem.with_suffix(".jsonl"), f"executor {id_}")
        self._files: list[Path] = []
        with suppress(OSError):
            self._files = [self._work.resolve(strict=True) / name for name in ("stdout", "stderr")]
        self._before, self._told = oom_kills(pid), 0

    def take(self, table: dict[int, Process]) -> None:
        """Add a sample, and tell of what the kernel has killed meanwhile."""
        self._samples.take(table, self._pid)
        kills = oom_kills(self._pid)
        if kills - self._before > self._told:
            self._told = kills - self._before
            limit = memory_limit(self._pid)
            known = {"oomKills": self._told, "limitMiB": limit and round(limit / (1 << 20), 1)}
            self._stem.with_suffix(".json").write_text(json.dumps(known) + "\n")

    def end(self) -> None:
        """Keep the last that it printed, where a worker wrote that down."""
        tails = []
        for file in self._files:
            with suppress(OSError), file.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _KEPT // 2))
                tails.append(log.read())
        if any(tails):
            self._stem.with_suffix(".log").write_bytes(b"".join(tails))


def _of_cgroup(pid: int, *names: str) -> str:
    """What the kernel tells of a process's container, by cgroup v2's name or v1's; "" for nothing.

    Its own view of /sys: in a pod whose containers share their processes that is another one's.
    """
    for name in names:
        with suppress(OSError):
            return Path(f"/proc/{pid}/root/sys/fs/cgroup/{name}").read_text()
    return ""


def oom_kills(pid: int) -> int:
    """How many processes of a process's container the kernel has killed for memory."""
    told = _of_cgroup(pid, "memory.events", "memory/memory.oom_control")
    found = re.search(r"^oom_kill (\d+)$", told, re.M)
    return int(found[1]) if found else 0


def memory_limit(pid: int) -> int | None:
    """Bytes that a process's container may have; None where there is no limit."""
    told = _of_cgroup(pid, "memory.max", "memory/memory.limit_in_bytes").strip()
    return int(told) if told.isdecimal() and int(told) < 1 << 60 else None


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


def ticks(every: float, wait: Callable[[float], object] = time.sleep) -> Iterator[None]:
    """Yields at a steady pace, `every` seconds apart; what comes late is not caught up with."""
    following = time.monotonic()
    while True:
        yield
        following = max(following + every, time.monotonic())
        wait(max(0.0, following - time.monotonic()))


def main(argv: list[str] | None = None) -> int:
    """Samples executors until the process that started this one, or the pod's last, has ended."""
    parser = argparse.ArgumentParser(prog="sampler.py", description="Samples Spark's executors.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--pod", action="store_true", help="sample the executor of this pod")
    args = parser.parse_args(argv)
    worker = os.getppid()
    known: dict[int, Executor] = {}
    failed = ""
    for _ in ticks(args.every):
        table = processes()
        running = executors(table if args.pod else tree(table, worker))
        over = bool(known) and not running if args.pod else os.getppid() != worker
        try:
            for pid in known.keys() - running.keys():
                known[pid].end()
            for pid, of in running.items():
                if pid not in known:
                    known[pid] = Executor(args.folder, pid, *of)
                known[pid].take(table)
            failed = ""
        except OSError as error:
            # The volume may be back in a second; what is missing until then is not worth a worker.
            if str(error) != failed:
                failed = str(error)
                print(f"sampler: {error}", file=sys.stderr, flush=True)
        if over:
            return 0
        known = {pid: one for pid, one in known.items() if pid in running}
    return 0


if __name__ == "__main__":
    sys.exit(main())
