"""A second look and a second update: quiet when nothing changed, small when little did."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.conftest import Up, write_text


def _changes(up: Up) -> dict[str, str]:
    printed = up.stack.pulumi("preview", "--json", own=True, capture=True)
    steps = json.loads(printed)["steps"]
    return {step["urn"].split("::")[-1]: step["op"] for step in steps if step["op"] != "same"}


def test_preview_after_up_shows_no_change(up: Up):
    assert _changes(up) == {}


def test_a_second_up_does_nothing(up: Up):
    printed = up.make("up")
    assert "unchanged" in printed
    assert "created" not in printed and "updated" not in printed and "replaced" not in printed


def test_another_text_reruns_just_the_count(up: Up, tmp_path: Path):
    other = tmp_path / "other.txt"
    write_text(other, seed=2, words=5_000)
    up.stack.choose_input(str(other))
    changed = _changes(up)
    assert changed and all(name.startswith("wordcount") for name in changed)
    up.make("up", f"INPUT={other}")
    up.assert_counted(other)
