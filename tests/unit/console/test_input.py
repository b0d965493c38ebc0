"""`make up INPUT=...`: the text is looked for before anything is started."""

from __future__ import annotations

import os

import pytest

from console import stack
from console.stack import ROOT, ConsoleError, Stack, find_input
from console.verbs.up import up
from localcloud import cloud


def test_a_text_that_is_not_there_is_told_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(cloud, "up", lambda say: pytest.fail("the local cloud was started"))
    missing = str(tmp_path / "missing")
    with pytest.raises(ConsoleError, match=f"INPUT={missing} does not exist"):
        up(Stack("local", env={}), missing)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pipe", r"INPUT=.*/pipe can't be counted: .*/pipe: it is a pipe"),
        (".hidden", r"INPUT=.*/\.hidden can't be counted: .*/\.hidden: a name that starts with"),
        ("self", r"INPUT=.*/self does not exist"),
        (os.fsdecode(b"caf\xe9"), r"INPUT=.*/caf\\xe9: no setting can hold this name; rename it"),
    ],
)
def test_a_text_that_can_not_be_counted_is_told_before_anything_starts(
    tmp_path, monkeypatch, name, said
):
    monkeypatch.setattr(cloud, "up", lambda say: pytest.fail("the local cloud was started"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "self").symlink_to("self")
    for file in (".hidden", os.fsdecode(b"caf\xe9")):
        (tmp_path / file).touch()
    with pytest.raises(ConsoleError, match=said) as caught:
        up(Stack("local", env={}), str(tmp_path / name))
    assert len(str(caught.value).splitlines()) == 1


def test_the_encoding_is_the_settings(tmp_path, monkeypatch):
    (tmp_path / "text").write_bytes("one two".encode("utf-16-le") * 50)
    with pytest.raises(ConsoleError, match="it is text in UTF-16-LE without"):
        find_input(str(tmp_path / "text"))
    monkeypatch.setattr(stack, "ROOT", tmp_path)
    file = tmp_path / "Pulumi.local.yaml"
    file.write_text("config: {tinderbox:wordCount: {encoding: UTF-16LE}}")
    encoding = Stack("local", env={"PATH": ""}).encoding
    assert find_input(str(tmp_path / "text"), encoding=encoding) == "./text"
    with pytest.raises(ConsoleError, match="can't be counted: 'none' is no encoding"):
        find_input(str(tmp_path / "text"), encoding="none")


def test_what_spark_can_not_read_is_no_input():
    with pytest.raises(ConsoleError, match=r"INPUT=https://x/y.txt does not exist; it must be"):
        find_input("https://x/y.txt")


def test_links_are_followed_once(tmp_path):
    (tmp_path / "text").write_text("one two")
    (tmp_path / "link").symlink_to("text")
    assert find_input(str(tmp_path / "link")) == str(tmp_path / "text")
    assert find_input("s3a://books/in") == "s3a://books/in"


def test_a_text_of_the_checkout_is_named_from_there(monkeypatch):
    for path in ("docs/usage.md", str(ROOT / "docs/usage.md")):
        monkeypatch.chdir(ROOT)
        assert find_input(path) == find_input(path, shared=True) == "./docs/usage.md"
    monkeypatch.chdir(ROOT / "docs")
    assert find_input("usage.md", shared=True) == "./docs/usage.md"


def test_a_path_of_one_machine_is_not_for_a_shared_stack(tmp_path, monkeypatch):
    text = tmp_path / "text"
    text.touch()
    with pytest.raises(ConsoleError, match=f"^INPUT={text} is outside of the checkout"):
        find_input(str(text), shared=True)
    monkeypatch.setattr(Stack, "pulumi", lambda *_, **__: pytest.fail("Pulumi was called"))
    with pytest.raises(ConsoleError, match="outside of the checkout"):
        up(Stack("dev", env={"PATH": ""}), str(text))
    assert find_input("s3a://books/in", shared=True) == "s3a://books/in"


@pytest.mark.parametrize("name", ["loop", "x" * 300, "closed/\x1b[2J"])
def test_what_can_not_be_looked_at_does_not_exist(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConsoleError, match="does not exist"):
        find_input(str(tmp_path / name))
