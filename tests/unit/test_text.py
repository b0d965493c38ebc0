"""The text's digest: another name or content is another text, nothing else is."""

from __future__ import annotations

import os

import pytest

from components.settings import SettingsError, WordCountSettings
from components.text import LocalFiles, read_text


def read(path) -> LocalFiles:
    """The text at a path of this machine."""
    text = read_text(WordCountSettings(input=str(path)))
    assert text is not None
    return text


@pytest.fixture
def folder(tmp_path):
    """A text of three files, one of them in a folder."""
    place = tmp_path / "books"
    (place / "old").mkdir(parents=True)
    (place / "a.txt").write_text("one")
    (place / "b.txt").write_text("two!")
    (place / "old" / "c.txt").write_text("three")
    return place


def test_a_file(folder):
    text = read(folder / "b.txt")
    assert (text.path, text.size, text.is_folder) == (folder / "b.txt", 4, False)
    assert len(text.digest) == 16


def test_a_folder(folder):
    text = read(folder)
    assert (text.path, text.size, text.is_folder) == (folder, 12, True)


def test_a_link_is_resolved_once(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder / "a.txt")
    assert read(link) == read(folder / "a.txt")


def test_times_and_rights_make_no_other_text(folder):
    before = read(folder)
    os.utime(folder / "a.txt", (0, 0))
    (folder / "a.txt").chmod(0o600)
    assert read(folder) == before


def test_every_other_difference_makes_another(folder):
    digests = {read(folder).digest}

    def differs() -> bool:
        digest = read(folder).digest
        new = digest not in digests
        digests.add(digest)
        return new

    (folder / "a.txt").write_text("uno")
    assert differs()
    (folder / "a.txt").rename(folder / "z.txt")
    assert differs()
    (folder / "z.txt").rename(folder / "old" / "z.txt")
    assert differs()
    (folder / "empty").write_text("")
    assert differs()


def test_the_same_content_cut_elsewhere_is_another_text(tmp_path):
    first, second = tmp_path / "first" / "t", tmp_path / "second" / "t"
    for place, (a, b) in ((first, ("onetwo", "")), (second, ("one", "two"))):
        place.mkdir(parents=True)
        (place / "a").write_text(a)
        (place / "b").write_text(b)
    assert read(first).digest != read(second).digest


def test_a_text_in_another_place_is_the_same(folder, tmp_path):
    before = read(folder)
    (tmp_path / "moved").mkdir()
    moved = folder.rename(tmp_path / "moved" / "books")
    assert read(moved).digest == before.digest


def test_an_empty_folder_is_a_text_without_words(tmp_path):
    (tmp_path / "empty").mkdir()
    assert read(tmp_path / "empty").size == 0


def test_a_text_on_the_volume_is_not_looked_for_here():
    assert read_text(WordCountSettings(input="/srv/shared/no/such/thing")) is None


def test_a_file_that_can_not_be_read_is_named(folder, monkeypatch):
    """By a stand-in for the missing right, which root would have all the same."""
    opened = type(folder).open

    def refuse(path, *args, **kwargs):
        if path.name == "b.txt":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(type(folder), "open", refuse)
    with pytest.raises(SettingsError) as caught:
        read(folder)
    assert str(caught.value) == (
        f"tinderbox:wordCount.input is '{folder}/b.txt'; it must be readable (Permission denied)"
    )
