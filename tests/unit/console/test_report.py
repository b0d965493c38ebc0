"""The table of the top words."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from components.settings.effective import Setting
from console import timings
from console.report import fitted, top_words
from console.verbs import settings


def result(*top: tuple[str, int], **more: Any) -> dict[str, Any]:
    """The stack's output `wordCount`."""
    return {
        "input": "README.md",
        "output": "/srv/shared/wordcount/runs/x",
        "words": 1234567,
        "distinct": 8910,
        "top": [{"word": word, "count": count} for word, count in top],
        "seconds": 12.345,
        "sparkVersion": "4.2.0",
        **more,
    }


def test_words_counts_and_bars_stand_below_each_other():
    assert top_words(result(("the", 1200), ("kubernetes", 600), ("a", 1)), width=12) == "\n".join(
        [
            "1,234,567 words, 8,910 different, in README.md (Spark 4.2.0, 12.3 s)",
            "",
            "  the         1,200  ████████████",
            "  kubernetes    600  ██████",
            "  a               1  █",
        ]
    )


def test_a_long_word_is_cut():
    lines = top_words(result(("x" * 50, 2), ("y", 1)), width=10).splitlines()
    assert lines[2].split()[0] == "x" * 9 + "…"
    assert len(lines[2]) - len("█" * 10) == len(lines[3]) - len("█" * 5)


def test_a_text_without_words_has_a_heading_only():
    shown = top_words(result(words=0, distinct=0))
    assert shown == "0 words, 0 different, in README.md (Spark 4.2.0, 12.3 s)"


def test_words_that_a_terminal_would_obey_are_shown():
    shown = top_words(result(("\x1b[2J\x07", 2), ("\u202eevil", 1), input="a\x1bb"), width=20)
    assert "\x1b" not in shown and "\u202e" not in shown
    assert "in a\\x1bb (" in shown
    assert [line.split()[0] for line in shown.splitlines()[2:]] == [r"\x1b[2J\x07", r"\u202eevil"]


def test_wide_and_joined_letters_keep_the_columns():
    lines = top_words(result(("語語語", 2), ("e\u0301a", 2), ("abc", 2)), width=10).splitlines()[2:]
    assert {cell_len(line) for line in lines} == {2 + 6 + 2 + 1 + 2 + 10}
    assert fitted("語" * 9, 8) == "語語語 …"


@pytest.mark.parametrize("columns", ["40", "20", "1", "0", "x"])
def test_a_narrow_terminal_is_filled_and_not_overrun(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    lines = top_words(result(("x" * 50, 1200), ("y", 600))).splitlines()[2:]
    phases = [timings.Phase("addons (flannel, metrics-server)", 0.0, 1000.0)]
    chart = timings.chart(phases).splitlines()
    widest = max(map(cell_len, [*lines, *chart]))
    assert widest <= {"40": 40, "20": 20, "1": 20}.get(columns, 100)
    assert all("█" in line for line in [*lines, *chart])


def test_what_the_count_had_to_say():
    left_out = {"count": 3, "names": {"a/.b": "hidden", "a/c\x1b[2J": "a link that leads back"}}
    shown = top_words(result(("a", 1), replacedBytes=12345, leftOut=left_out), width=1)
    assert shown.splitlines()[-5:] == [
        "",
        "12,345 bytes are not in the text's encoding; U+FFFD stands for them.",
        "Left out: 3 names (the first 2)",
        "  a/.b: hidden",
        "  a/c\\x1b[2J: a link that leads back",
    ]
    one = {"count": 1, "names": {"a/.b": "hidden"}}
    nothing = top_words(result(words=0, distinct=0, leftOut=one)).splitlines()
    assert nothing[1:] == ["", "Left out: 1 name", "  a/.b: hidden"]


def test_settings_of_others_are_shown_and_not_sent():
    row = Setting("spark.image", "a\x1b[2Jb", "Pulumi.dev.yaml")
    assert settings.effective_table([row]).splitlines() == [
        r"key          value      from",
        r"spark.image  a\x1b[2Jb  Pulumi.dev.yaml",
    ]
