"""The word count beside other engines: on the same cores, the same text, in the same minutes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import texts
from bench.contender import CONTENDERS
from bench.machine import cpu
from toolchain import paths, venv

#: What the table compares all with.
COMPARED_TO = ("duckdb", "Spark's bare scan")
#: What counts nothing, so has no result to compare.
_COUNTS_NOTHING = ("Spark's bare scan",)
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


@dataclass(frozen=True)
class Measured:
    """Seconds of each warm count of a text, by contender; MB is 10^6 bytes."""

    megabytes: int
    words: int
    distinct: int
    seconds: dict[str, list[float]]
    peak_mib: dict[str, int]

    def ratio(self, name: str, other: str) -> float:
        """Median of the ratios, round by round."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return median(one / two for one, two in pairs)


class Disagreement(Exception):
    """Two engines counted otherwise."""


def say(line: str) -> None:
    """A line of progress."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def environment() -> Path:
    """The Python that has the engines, and beside them what this one has."""
    ours = Path(sys.prefix)
    digest = paths.digest_of(_REQUIREMENTS, str(ours.resolve()))
    home = paths.cache_dir() / "bench" / digest[:12]
    venv.ensure(home, _REQUIREMENTS)
    [site] = home.glob("lib/python*/site-packages")
    [packages] = ours.glob("lib/python*/site-packages")
    (site / "tinderbox.pth").write_text(f"{packages}\n")
    return home / "bin" / "python"


class Contender:
    """A process that counts when it is asked to."""

    def __init__(self, name: str, text: Path, folder: Path) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [environment(), "-m", "bench.contender", name, text, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def count(self) -> dict[str, Any]:
        """Counts once; {"seconds", "words", "distinct", "top"}."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"bench: {self.name} ended with {self._process.wait()}")
        return json.loads(answer)

    def _pids(self) -> list[int]:
        children = f"/proc/{self._process.pid}/task/{self._process.pid}/children"
        return [self._process.pid, *map(int, Path(children).read_text().split())]

    def peak_mib(self) -> int:
        """The most memory that it had at once, with the JVM or the pipe that it started."""
        return sum(map(_peak_kib, self._pids())) // 1024

    def cpu(self) -> float:
        """CPU seconds so far, with those of the JVM."""
        return sum(map(cpu, self._pids()))

    def end(self) -> None:
        """Ends it as a person would: nothing more to count."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


@contextmanager
def contenders(counts: Sequence[tuple[str, Path]]) -> Generator[list[Contender]]:
    """A process for each (name, text); what they write goes into a passing folder."""
    made: list[Contender] = []
    with tempfile.TemporaryDirectory(prefix="tinderbox-bench-") as folder:
        try:
            for name, text in counts:
                made.append(Contender(name, text, Path(folder) / str(len(made))))
            yield made
        finally:
            for one in made:
                one.end()


def measure(megabytes: int, rounds: int, names: list[str] | None = None) -> Measured:
    """Each contender counts once to get warm, then once in each round, in turn.

    Raises Disagreement where two results differ.
    """
    text = texts.make(paths.cache_dir() / "bench" / f"{megabytes}.txt", megabytes)
    names = names or list(CONTENDERS)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    agreed: dict[str, Any] = {}
    with contenders([(name, text) for name in names]) as counting:
        for number in range(rounds + 1):
            for one in counting:
                answer = one.count()
                taken = answer.pop("seconds")
                say(f"{megabytes} MB, {number or 'warming up'}: {one.name} {taken:.1f} s")
                if number:
                    seconds[one.name].append(taken)
                if one.name in _COUNTS_NOTHING:
                    continue
                agreed = agreed or answer
                if answer != agreed:
                    raise Disagreement(f"{one.name} counted {answer}, {names[0]} {agreed}")
        peaks = {one.name: one.peak_mib() for one in counting}
    return Measured(megabytes, agreed["words"], agreed["distinct"], seconds, peaks)


def table(measured: Measured) -> str:
    """Markdown: seconds, ratios to duckdb and to the scan, memory."""
    lines = [
        f"### {measured.megabytes} MB: {measured.words:,} words, {measured.distinct:,} different\n",
        "| | seconds (median) | times duckdb | times the bare scan | peak MiB |",
        "|---|---|---|---|---|",
    ]
    for name, seconds in measured.seconds.items():
        ratios = [f"{measured.ratio(name, o):.2f}" for o in COMPARED_TO]
        mib = f"{measured.peak_mib[name]:,}"
        lines.append(f"| {name} | {median(seconds):.1f} | {' | '.join(ratios)} | {mib} |")
    return "\n".join(lines) + "\n"
