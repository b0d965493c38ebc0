"""bench/: its texts, its arithmetic, its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import growth, texts, words
from bench.__main__ import PAGE
from bench.contender import result
from bench.page import put


def test_a_text_is_as_large_as_was_said_and_always_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(texts, "WORDS", 1000)
    one = texts.make(tmp_path / "one.txt", 1).read_bytes()
    assert len(one) == 10**6
    assert one == texts.make(tmp_path / "two.txt", 1).read_bytes()
    assert one != texts.make(tmp_path / "three.txt", 1, seed=2).read_bytes()
    counted = one.decode().split()
    assert len(set(counted)) > 900
    assert any(not word.isascii() for word in counted)
    assert {"\t", "\r", "\u3000"} <= set(one.decode())


def test_the_result_of_rows_in_parts(tmp_path: Path):
    (tmp_path / "part-0.csv").write_text('the,3\n"say ""so""",2\n')
    (tmp_path / "part-1.csv").write_text("end,1\n")
    assert result(tmp_path) == {"words": 6, "distinct": 3, "top": ["the", 'say "so"', "end"]}


def test_a_ratio_is_that_of_the_rounds_not_of_the_medians():
    seconds = {"one": [1.0, 4.0, 9.0], "two": [2.0, 2.0, 3.0]}
    measured = words.Measured(1, 1, 1, seconds, {"one": 1, "two": 1})
    assert measured.ratio("one", "two") == 2.0


class Fake:
    """Counts as it is told."""

    answers: dict[str, dict[str, Any]]

    def __init__(self, name: str, text: Path, folder: Path) -> None:
        self.name = name

    def count(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.answers[self.name]))

    def peak_mib(self) -> int:
        return 7

    def cpu(self) -> float:
        return 0.0

    def end(self) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Fake]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(words, "Contender", Fake)
    monkeypatch.setattr(texts, "WORDS", 100)
    return Fake


def test_what_disagrees_is_no_result(fake: type[Fake]):
    right = {"seconds": 1.0, "words": 9, "distinct": 2, "top": ["a", "b"]}
    fake.answers = {"one": right, "two": {**right, "distinct": 3}}
    with pytest.raises(words.Disagreement, match="two counted .*'distinct': 3"):
        words.measure(1, 1, ["one", "two"])


def test_the_first_count_only_warms(fake: type[Fake]):
    right = {"seconds": 2.0, "words": 9, "distinct": 2, "top": ["a", "b"]}
    idle = {"seconds": 1.0, "words": 0, "distinct": 0, "top": []}
    fake.answers = {"duckdb": right, "Spark's bare scan": idle}
    measured = words.measure(1, 2, ["duckdb", "Spark's bare scan"])
    assert measured.seconds == {"duckdb": [2.0, 2.0], "Spark's bare scan": [1.0, 1.0]}
    assert "| duckdb | 2.0 | 1.00 | 2.00 | 7 |" in words.table(measured)


def test_other_forms_of_a_text_are_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(texts, "WORDS", 1000)
    text = texts.make(tmp_path / "one.txt", 1)
    line = texts.in_one_line(tmp_path / "line.txt", text).read_bytes()
    assert b"\n" not in line and line.decode().split() == text.read_text("utf-8").split()
    assert texts.again(tmp_path / "2.txt", text, 2).read_bytes() == 2 * text.read_bytes()
    files = sorted(texts.in_files(tmp_path / "files", text, 100).iterdir())
    assert 90 < len(files) <= 100
    assert b"".join(file.read_bytes() for file in files) == text.read_bytes()


def test_growth_is_for_as_much_and_forms_have_to_agree(
    fake: type[Fake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    right = {"seconds": 2.0, "words": 9, "distinct": 2, "top": ["a", "b"]}
    fake.answers = {"Tinderbox": right}
    found = [growth.Grown("one", tmp_path), growth.Grown("ten", tmp_path, times=10)]
    growth.measure(1, found)
    found[1].seconds, found[0].cpu, found[1].cpu = [30.0], [4.0], [44.0]
    assert "| ten | 30.0 | 44.0 | 1.50 | 1.10 | 7 |" in growth.table(found)
    answers = iter([right, {**right, "words": 8}] * 2)
    monkeypatch.setattr(fake, "count", lambda _: dict(next(answers)))
    with pytest.raises(words.Disagreement, match="two: .*'words': 8"):
        growth.measure(1, [growth.Grown("one", tmp_path), growth.Grown("two", tmp_path)])


@pytest.mark.parametrize("part", ["words", "growth", "data"])
def test_the_page_has_a_place_for_what_is_measured(part: str):
    page = PAGE.read_text("utf-8")
    assert put(page, f"bench: {part}", "NEW\n").count("NEW\n") == 1
    with pytest.raises(ValueError, match="no part nothing"):
        put(page, "nothing", "")
