"""`make up INPUT=...`: the text is looked for before anything is started."""

from __future__ import annotations

import pytest

from console.__main__ import up
from console.stack import ConsoleError, Stack, find_input
from localcloud import cloud


def test_a_text_that_is_not_there_is_told_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(cloud, "up", lambda say: pytest.fail("the local cloud was started"))
    missing = str(tmp_path / "missing")
    with pytest.raises(ConsoleError, match=f"INPUT={missing} does not exist"):
        up(Stack("local", env={}), missing)


def test_what_spark_can_not_read_is_no_input():
    with pytest.raises(ConsoleError, match=r"INPUT=https://x/y.txt does not exist; it must be"):
        find_input("https://x/y.txt")


def test_links_are_followed_once(tmp_path):
    (tmp_path / "text").write_text("one two")
    (tmp_path / "link").symlink_to("text")
    assert find_input(str(tmp_path / "link")) == str(tmp_path / "text")
    assert find_input("s3a://books/in") == "s3a://books/in"
