"""The first preview of a stack of so many nodes, against moto: what it costs, and which part."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.moto import against_moto
from bench.words import say

if TYPE_CHECKING:
    from tests.engine.conftest import Engine

#: What a process is, by what its command line has; the first that fits counts.
PARTS = {
    "program": ("language_python", "language-python"),
    "plugins": ("standins.", "pulumi-resource-"),
    "Pulumi": ("pulumi",),
}
_LOOK_EVERY = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Planned:
    """A preview. cpu: seconds of each part, user and system."""

    nodes: int
    resources: int
    seconds: float
    cpu: Mapping[str, float]

    @property
    def all_cpu(self) -> float:
        """Of all parts."""
        return sum(self.cpu.values())


class Watch:
    """Looks at what comes from this process, all through a `with`. cpu: seconds of each part."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[str, float]] = {}
        self._before: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._before = {*descendants(os.getpid())}  # moto is none of it
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def cpu(self) -> dict[str, float]:
        """As far as they were seen: of a process that ended, up to a tenth of a second before."""
        found = dict.fromkeys(PARTS, 0.0)
        for command, seconds in self._seen.values():
            if part := part_of(command):
                found[part] += seconds
        return found

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            for pid in descendants(os.getpid()):
                folder = Path(f"/proc/{pid}")
                try:
                    command = (folder / "cmdline").read_text().replace("\0", " ")
                    used = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
                except OSError:
                    continue
                if command and pid not in self._before:  # one that has ended has none
                    self._seen[pid] = command, sum(map(int, used)) / _TICKS


def descendants(pid: int) -> Iterable[int]:
    """Those that a process started, and theirs."""
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = file.read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from descendants(child)


def part_of(command: str) -> str | None:
    """Which part a command line is of."""
    fits = (part for part, words in PARTS.items() if any(word in command for word in words))
    return next(fits, None)


def measure(counts: Sequence[int], rounds: int) -> list[Planned]:
    """Of so many nodes each, the fastest of the rounds."""
    found = []
    with against_moto() as engine:
        for count in counts:
            engine.configure(nodes={"count": count})
            tried = [_plan(engine, count) for _ in range(rounds)]
            found.append(min(tried, key=lambda one: one.seconds))
            say(f"{count} nodes: {found[-1].seconds:.1f} s, {found[-1].all_cpu:.1f} s of CPU")
    return found


def _plan(engine: Engine, count: int) -> Planned:
    began = time.monotonic()
    with Watch() as watch:
        printed = engine.pulumi("preview").stdout
    seconds = time.monotonic() - began
    (resources,) = re.findall(r"\+ (\d+) to create", printed)
    return Planned(count, int(resources), seconds, watch.cpu)


def table(planned: Sequence[Planned]) -> str:
    """Markdown: a row a number of nodes; from the second on also what each node more takes."""
    head = ["nodes", "resources", "seconds", "CPU (s)", *(f"of it {part}" for part in PARTS)]
    lines = [" | ".join(["", *head, "CPU of each node more (ms)"]).strip() + " |"]
    lines.append(f"|{'---|' * (len(head) + 1)}")
    for before, one in zip((None, *planned), planned, strict=False):
        cells = [f"{one.nodes}", f"{one.resources:,}", f"{one.seconds:.1f}", f"{one.all_cpu:.1f}"]
        cells += [f"{one.cpu[part]:.1f}" for part in PARTS]
        cells.append("" if before is None else f"{1000 * more(before, one):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def more(before: Planned, after: Planned) -> float:
    """Seconds of CPU that each node more took."""
    return (after.all_cpu - before.all_cpu) / (after.nodes - before.nodes)
