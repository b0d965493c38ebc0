"""Texts to count: words by Zipf's law, in several scripts, with several kinds of whitespace."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy

#: Different words a text can have; the n-th is as frequent as 1/n of the first.
WORDS = 320_000
#: Bytes of a text are made in pieces of so many words.
PIECE = 1 << 20

_SCRIPTS = (
    "aeiounrstlmdkpgb",
    "абвгдежзиклмнопр",
    "αβγδεζηθικλμνξοπ",
    "日月火水木金土山川田人口手目耳",
)
# Of ten words nine are ASCII's, as in most texts.
_SCRIPT_OF = (0,) * 27 + (1, 2, 3)
# Whitespace behind a word, and how many of a thousand words it follows.
_SPACES = (
    *((" ", 840), ("\n", 110), ("  ", 20), ("\t", 15), ("\r\n", 10)),
    *(("\u00a0", 2), ("\u3000", 2), ("\u2003", 1)),
)


def _vocabulary(source: random.Random) -> list[str]:
    """The words, the most frequent first; frequent ones are short."""
    words: dict[str, None] = {}
    while len(words) < WORDS:
        rank = len(words)
        letters = _SCRIPTS[_SCRIPT_OF[rank % len(_SCRIPT_OF)]]
        length = 2 + source.randrange(2 + rank.bit_length() * 2 // 3)
        words["".join(source.choices(letters, k=length))] = None
    return list(words)


def make(path: Path, megabytes: int, seed: int = 1) -> Path:
    """A text of so many MB (10^6 bytes; the last line ends), the same for the same arguments.

    One that lies there with the right size is taken as it is.
    """
    size = megabytes * 10**6
    if path.exists() and path.stat().st_size == size:
        return path
    source = numpy.random.default_rng(seed)
    words = numpy.array([word.encode() for word in _vocabulary(random.Random(seed))], dtype=object)
    spaces = numpy.array([space.encode() for space, share in _SPACES for _ in range(share)], object)
    weights = numpy.cumsum(1 / numpy.arange(1, WORDS + 1))
    weights /= weights[-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    with _whole(path) as file:
        left = size
        while left:
            ranks = numpy.searchsorted(weights, source.random(PIECE))
            behind = source.integers(0, len(spaces), PIECE)
            piece = b"".join((words[ranks] + spaces[behind]).tolist())
            if len(piece) >= left:
                # Not within a character: the text ends with a whole word.
                whole = piece[: left - 1].rpartition(b" ")[0]
                piece = whole.ljust(left - 1) + b"\n"
            left -= file.write(piece)
    return path


@contextmanager
def _whole(path: Path) -> Generator[IO[bytes]]:
    """A file to write, which gets its name when it is whole."""
    making = path.with_suffix(".making")
    with making.open("wb") as file:
        yield file
    os.replace(making, path)


def again(path: Path, text: Path, times: int) -> Path:
    """The same text so many times over; one that lies there with the right size is taken."""
    if path.exists() and path.stat().st_size == times * text.stat().st_size:
        return path
    with _whole(path) as file:
        for _ in range(times):
            with text.open("rb") as one:
                shutil.copyfileobj(one, file, 1 << 20)
    return path


def in_files(folder: Path, text: Path, files: int) -> Path:
    """The same text in a folder of about so many files, each of whole lines.

    A folder that lies there is taken as it is.
    """
    if folder.exists():
        return folder
    making = folder.with_suffix(".making")
    making.mkdir(exist_ok=True)  # of one that was cut off, whose files are these
    each, number = -(-text.stat().st_size // files), 0
    with text.open("rb") as lines:
        while piece := lines.read(each):
            (making / f"{number:06}.txt").write_bytes(piece + lines.readline())
            number += 1
    os.replace(making, folder)
    return folder


def in_one_line(path: Path, text: Path) -> Path:
    """The same text with spaces for its ends of lines; one that lies there is taken as it is."""
    if path.exists():
        return path
    with text.open("rb") as lines, _whole(path) as file:
        while piece := lines.read(1 << 20):
            file.write(piece.replace(b"\n", b" "))
    return path
