"""The table of the top words."""

from __future__ import annotations

from typing import Any

from console.report import top_words


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
