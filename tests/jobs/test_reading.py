"""reading.py and careful.py, as far as they need no Spark."""

from __future__ import annotations

import bz2
import gzip
import io
import random
from collections.abc import Iterator
from typing import Any

import pytest
import reading
import texts
from careful import UserError
from patterns import may_match_whitespace

LINE = 4096


def separator(content: bytes, places: int = reading.PLACES) -> str | None:
    return reading.separator(lambda: io.BytesIO(content), LINE, LINE, places)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "\n"),
        ("short", "\n"),
        ("x" * 1000 + "\n", "\n"),
        (("x" * 100 + "\n") * 1000, "\n"),
        (("x" * 100 + " ") * 1000, " "),
        (("x" * 100 + "\r") * 1000, "\r"),
        (("x" * 100 + "\t") * 1000, "\t"),
        (("日本" * 50 + "\u3000") * 1000, "\u3000"),
        (("日本" * 50 + "\u2009") * 1000, "\u2009"),
        ("a line\n" * 1000 + "a long one " * 1000 + "a line\n" * 1000, " "),
        ("word\n" * 4000 + "words " * 4000, None),
        ("x" * 20_000, None),
        ("x" * LINE + "\n", None),
        ("a\n" * 2048 + "x" * 4000, "\n"),
    ],
)
def test_separator(text: str, wanted: str | None) -> None:
    content = text.encode()
    assert separator(content) == wanted
    unpacked = {
        gzip.compress(content): gzip.open,
        bz2.compress(content): bz2.open,
    }
    for packed, open_ in unpacked.items():

        def opened(packed: bytes = packed, open_: Any = open_) -> io.BufferedIOBase:
            return open_(io.BytesIO(packed))

        assert reading.separator(opened, LINE, LINE) == wanted


def test_every_white_space_can_cut() -> None:
    assert len(set(reading.WHITE_SPACE)) == 25
    for space in reading.WHITE_SPACE:
        assert separator(f"word{space}".encode() * 5000) == space


def test_only_the_first_places_are_looked_at() -> None:
    content = b"a line\n" * 5000 + b"x" * 100_000
    assert separator(content) is None
    assert separator(content, places=3) == "\n"


@pytest.mark.parametrize(("path", "places"), [("/text", 25), ("s3a://bucket/text", 4)])
def test_a_store_is_asked_for_few_places(
    path: str, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a request there, and a text of a terabyte would be a million."""
    monkeypatch.setattr(reading, "LONGEST", 8 * LINE)
    content, seeks = b"a line\n" * (LINE * 25 // 7), list[int]()

    class Stream(io.BytesIO):
        def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
            seeks.append(offset)
            return super().seek(offset, whence)

    found = object.__new__(reading.Input)
    found._line, found._candidates = LINE, reading.WHITE_SPACE
    monkeypatch.setattr(found, "_open", lambda _: Stream(content), raising=False)
    text = texts.Text("text", path, "", len(content))
    assert found._measure(text, is_little=True) == "\n"
    assert len(seeks) == places


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-32", "utf-8", "latin-1", "shift-jis", "gb18030"]
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_decoded(encoding: str, size: int) -> None:
    text = "plain\nÄé 日本 😀\r\n" if encoding[:2] in ("ut", "gb") else "plain\n ende"
    raw, made = text.encode(encoding), io.BytesIO()
    assert reading.decoded(pieces(raw, size), encoding, made.write) == 0
    assert made.getvalue().decode() == text


def test_bytes_that_are_not_in_the_encoding_are_counted() -> None:
    for raw, encoding, wanted, bad in (
        (b"\xff\xfea\x00b", "utf-16", "a\ufffd", 1),
        (b"a\xffb\xfe", "utf-8", "a\ufffdb\ufffd", 2),
        (b"\x00\xd8a\x00", "utf-16-le", "\ufffda", 2),
        (b"a\x81", "cp1252", "a\ufffd", 1),
    ):
        made = io.BytesIO()
        assert reading.decoded(pieces(raw, 100), encoding, made.write) == bad
        assert made.getvalue().decode() == wanted


def pieces(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


def test_cut() -> None:
    rnd = random.Random(5)
    raw = "".join(rnd.choice("ab \t\r\v\fé\u3000") for _ in range(5000)).encode()
    for size in (1, 7, 10_000):
        made = io.BytesIO()
        reading.cut(pieces(raw, size), made.write)
        assert made.getvalue().decode().split() == raw.decode().split()
        assert len(made.getvalue()) == len(raw)


@pytest.mark.parametrize("size", [1, 3, 5, 100])
def test_a_word_has_to_end(size: int) -> None:
    made = io.BytesIO()
    reading.cut(pieces(b"a aaaaaaaa b", size), made.write, 8)
    for raw in (b"aaaaaaaaa b", b"a aaaaaaaaa b", b"a aaaaaaaaa"):
        if size < 9:
            with pytest.raises(UserError, match="more than 8 bytes without whitespace"):
                reading.cut(pieces(raw, size), made.write, 8)


@pytest.mark.parametrize(
    ("pattern", "may"),
    [
        (r"\S+", False),
        (r"\w+", False),
        (r"(?:\w|-)+", False),
        (r"[a-zäöü]+(?:['’][a-z]+)?", False),
        (r"[\w'-]+", False),
        (r"\b[A-Z]\w{2,}\b", False),
        (r"#\w+|@\w+", False),
        (r"\d+(\.\d+)?", False),
        (r"the cat", True),
        (r"[^,]+", True),
        (r".+", True),
        (r"\s", True),
        (r"\W+", True),
        (r"^\w+", True),
        (r"\w+$", True),
        (r"(?<=e)\w", True),
        (r"a(?= b)", True),
        (r"[a b]+", True),
        (r"[\x00-z]+", True),
        ("[\x1f-z]+", True),
        ("[a-\uffff]+", True),
        (r"[a&&[^b]]", True),
        (r"(a)\1", True),
        (r"\p{L}+", True),
        (r"a\Qb c\E", True),
        ("a\u3000b", True),
        ("", True),
    ],
)
def test_what_may_match_whitespace(pattern: str, may: bool) -> None:
    assert may_match_whitespace(pattern) is may
