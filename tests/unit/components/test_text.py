"""The text's digest: another name or content is another text, nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.local_files import LocalFiles, read_jars, read_text
from components.settings import SettingsError, WordCountSettings
from spark_jobs import texts


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
    assert (text.name, text.size, text.is_folder) == ("b.txt", 4, False)
    assert text.files == {"": folder / "b.txt"}
    assert len(text.digest) == 16


def test_a_folder(folder):
    text = read(folder)
    assert (text.name, text.size, text.is_folder) == ("books", 12, True)
    assert text.files == {name: folder / name for name in ("a.txt", "b.txt", "old/c.txt")}


def test_a_link_is_what_it_leads_to_under_its_own_name(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder / "a.txt")
    assert (read(link).name, read(link).files) == ("link", {"": folder / "a.txt"})


def test_what_is_no_folder_of_plain_files(folder):
    """The whole rule is texts.py's: here is what comes of it."""
    before = read(folder)
    (folder / ".hidden").write_text("hidden")
    (folder / "_also").mkdir()
    (folder / "loop").symlink_to(folder)
    now = read(folder)
    assert (now.files, now.digest) == (before.files, before.digest)
    assert {name.removeprefix(f"{folder}/") for name in now.left_out} == {
        ".hidden",
        "_also",
        "loop",
    }
    (folder / "more").symlink_to(folder / "old")
    (folder.parent / "else").mkdir()
    (folder.parent / "else" / "d.txt").write_text("four")
    (folder / "else").symlink_to(folder.parent / "else")
    now = read(folder)
    assert now.files["else/d.txt"] == folder.parent / "else" / "d.txt"
    assert len(now.files) == 4  # those in `old` once


def test_a_text_may_be_in_another_encoding(folder):
    (folder / "a.txt").write_bytes("\u4e00 \u8a00".encode("utf-16-le") * 50)
    with pytest.raises(SettingsError, match=r"a\.txt: it is text in UTF-16-LE without"):
        read(folder)
    assert read_text(WordCountSettings(input=str(folder), encoding="utf-16-le"))


def pipe(place: Path) -> None:
    os.mkfifo(place / "pipe")


def dangling(place: Path) -> None:
    (place / ".#a.txt").symlink_to("me@host.1:2")  # an editor's: hidden, so left out
    (place / "gone").symlink_to("nowhere")


def archive(place: Path) -> None:
    (place / "a.txt").write_bytes(b"PK\x03\x04" + bytes(99))


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (pipe, "pipe: it is a pipe"),
        (dangling, "gone: it is a link to nothing"),
        (archive, "a.txt: it is a zip"),
    ],
)
def test_what_can_not_be_counted_is_one_line_with_key_and_name(folder, spoil, named):
    spoil(folder)
    with pytest.raises(SettingsError) as caught:
        read(folder)
    message = str(caught.value)
    assert message.startswith(f"tinderbox:wordCount.input is '{folder}'; it must be text that can")
    assert f"; {folder}/{named}" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero", ".hidden", "only-hidden"])
def test_an_input_that_is_no_text_is_refused_at_once(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".hidden").touch()
    (tmp_path / "only-hidden").mkdir()
    (tmp_path / "only-hidden" / "_x").touch()
    with pytest.raises(SettingsError, match=rf"wordCount\.input is '{name}'; .*; {name}: "):
        read(name)


def test_a_folder_of_a_hidden_name_that_is_meant_otherwise_is_not_hidden_in_the_cluster(
    folder, monkeypatch
):
    hidden = folder.rename(folder.parent / ".books")
    monkeypatch.chdir(hidden)
    assert read(".").name == "books"


def test_names_in_any_bytes_go_under_such_as_all_can_write(folder):
    latin = os.fsdecode(b"caf\xe9\n.txt")
    (folder / latin).write_text("one")
    (folder / "2026-01-01T10:00:00 \u00e4.txt").write_text("two")
    found = read(folder).files
    assert found["caf=xe9=n.txt"] == folder / latin
    assert "2026-01-01T10:00:00 \u00e4.txt" in found
    (folder / "caf=xe9=n.txt").write_text("three")
    with pytest.raises(SettingsError, match=r"without another name .* caf"):
        read(folder)


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

    def refuse(path):
        if path.endswith("b.txt"):
            raise PermissionError(13, "Permission denied")
        return opened(path)

    opened = texts.open_text
    # The rule looks at the beginning of each file, the digest at all of it.
    monkeypatch.setattr(texts, "open_text", refuse)
    with pytest.raises(SettingsError, match=rf"{folder}/b\.txt: cannot be read: Permission denied"):
        read(folder)
    monkeypatch.setattr(texts, "_looked_at", lambda text, *_: text)
    with pytest.raises(SettingsError, match=rf"readable; {folder}/b\.txt: Permission denied"):
        read(folder)


def test_the_jars_of_a_folder_and_nothing_else(folder):
    for name in ("b.jar", "a.jar", "._a.jar", "notes.txt", "old/c.jar"):
        (folder / name).write_bytes(b"PK\x03\x04")
    (folder / "link.jar").symlink_to("a.jar")
    assert list(read_jars(str(folder)).files) == ["a.jar", "b.jar", "link.jar"]
    os.mkfifo(folder / "pipe.jar")
    with pytest.raises(SettingsError, match=r"spark\.jars is .*/pipe\.jar: it is a pipe"):
        read_jars(str(folder))
