"""A second look and a second update: quiet when nothing changed, small when little did."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.conftest import Up, write_text
from tests.seen import seen


def test_preview_after_up_shows_no_change(up: Up):
    assert up.changes() == {}


def test_a_second_up_does_nothing(up: Up):
    printed = up.make("up")
    assert "unchanged" in printed
    assert "created" not in printed and "updated" not in printed and "replaced" not in printed


def test_a_text_that_is_not_there_is_one_line_and_no_second_try(up: Up):
    """Only the driver can know: it is to be on the volume."""
    up.stack.prepare("/srv/shared/no/such/text")
    printed = up.make("up", fails=True)
    assert "PodFailurePolicy" in printed
    assert "wordcount: /srv/shared/no/such/text: there is no such file" in printed
    # The one before it stays until another has succeeded.
    jobs = up.get("jobs", "-n", "spark", "-l", "app=wordcount")["items"]
    assert [job["status"]["failed"] for job in jobs if "failed" in job["status"]] == [1]


def test_another_text_reruns_just_the_count(up: Up, tmp_path: Path):
    """A folder with all that is odd: just what is counted by hand goes there and is counted."""
    other = tmp_path / "books"
    (other / "below").mkdir(parents=True)
    names = ["2026-01-01T10:00:00.txt", "below/ä 日.txt", os.fsdecode(b"caf\xe9.txt")]
    files = [other / name for name in names]
    write_text(files[0], seed=2, words=5_000)
    files[1].write_text("zwei ä eins\n", encoding="utf-8")
    files[2].write_bytes(b"eins caf\xe9 drei\n")
    (other / ".hidden").write_text("hidden")
    (other / "again").symlink_to(other)
    up.stack.prepare(str(other))
    changed = up.changes()
    assert changed and all(name.startswith("wordcount") for name in changed)
    with seen("another text"):
        printed = up.make("up", f"INPUT={other}")
    result = up.assert_counted(other, *files)
    assert result["replacedBytes"] == 1
    assert "1 bytes are not in the text's encoding" in printed
    assert set(result["leftOut"]["names"]) == {str(other / ".hidden"), str(other / "again")}
    assert f"{other}/.hidden: hidden" in printed
