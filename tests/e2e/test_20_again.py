"""A second look and a second update: quiet when nothing changed, small when little did."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Up, write_text


def test_preview_after_up_shows_no_change(up: Up):
    assert up.changes() == {}


def test_a_second_up_does_nothing(up: Up):
    printed = up.make("up")
    assert "unchanged" in printed
    assert "created" not in printed and "updated" not in printed and "replaced" not in printed


def test_another_text_reruns_just_the_count(up: Up, tmp_path: Path):
    other = tmp_path / "other.txt"
    write_text(other, seed=2, words=5_000)
    up.stack.prepare(str(other))
    changed = up.changes()
    assert changed and all(name.startswith("wordcount") for name in changed)
    up.make("up", f"INPUT={other}")
    up.assert_counted(other)
