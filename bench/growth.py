"""How the word count grows: with the text, with its number of files, with its longest line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench import texts, words
from toolchain import paths

#: MB of the text that others are compared with, and how many times as large one of them is.
MEGABYTES, TIMES = 300, 10
FILES = 100_000


@dataclass
class Grown:
    """Warm counts of one text. times: how much is to be counted, of what the first has."""

    what: str
    text: Path
    times: int = 1
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak_mib: int = 0


def forms(megabytes: int, times: int, files: int) -> list[Grown]:
    """The text, a larger one, and the same text in other forms."""
    folder = paths.cache_dir() / "bench"
    text = texts.make(folder / f"{megabytes}.txt", megabytes)
    large = texts.again(folder / f"{megabytes}-x{times}.txt", text, times)
    many = texts.in_files(folder / f"{megabytes}-in-{files}", text, files)
    line = texts.in_one_line(folder / f"{megabytes}-line.txt", text)
    return [
        Grown(f"{megabytes} MB in one file", text),
        Grown(f"{megabytes * times} MB in one file", large, times),
        Grown(f"{megabytes} MB in {len(list(many.iterdir())):,} files", many),
        Grown(f"{megabytes} MB in one line", line),
    ]


def measure(rounds: int, found: Sequence[Grown]) -> None:
    """Counts each once to get warm, then once in each round, in turn.

    Raises words.Disagreement where the same text in another form has another count.
    """
    agreed: dict[str, Any] = {}
    with words.contenders([("Tinderbox", one.text) for one in found]) as counting:
        for number in range(rounds + 1):
            for one, process in zip(found, counting, strict=True):
                before = process.cpu()
                answer = process.count()
                seconds, cpu = answer.pop("seconds"), process.cpu() - before
                words.say(f"{one.what}, {number or 'warming up'}: {seconds:.1f} s, CPU {cpu:.1f} s")
                if number:
                    one.seconds.append(seconds)
                    one.cpu.append(cpu)
                if one.times == 1 and answer != (agreed := agreed or answer):
                    raise words.Disagreement(f"{one.what}: {answer}, {found[0].what}: {agreed}")
        for one, process in zip(found, counting, strict=True):
            one.peak_mib = process.peak_mib()


def table(found: Sequence[Grown]) -> str:
    """Markdown: a row for each text, with its ratios to the first."""
    lines = [
        "| | seconds (median) | CPU (s) | times the first, for as much: seconds | CPU | peak MiB |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        cells = [f"{median(one.seconds):.1f}", f"{median(one.cpu):.1f}"]
        for own, first in ((one.seconds, found[0].seconds), (one.cpu, found[0].cpu)):
            ratios = [a / b / one.times for a, b in zip(own, first, strict=True)]
            cells.append(f"{median(ratios):.2f}")
        lines.append(f"| {one.what} | {' | '.join(cells)} | {one.peak_mib:,} |")
    return "\n".join(lines) + "\n"
