"""Images of the user's own: their tags, and how they are built."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from console.__main__ import main
from console.verbs import image


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A folder to build an image from."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Containerfile").write_text("FROM docker.io/apache/spark:4.2.0-python3\n")
    return folder


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A podman that notes its calls in the file that is returned."""
    program = tmp_path / "bin" / "podman"
    program.parent.mkdir()
    notes = tmp_path / "calls"
    program.write_text(f'#!/bin/sh\necho "$@" >>{notes}\n[ "$1" != "$FAIL" ]\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    return notes


def test_the_tag_is_the_contents(context: Path) -> None:
    first = image.tag_of(context)
    assert image.tag_of(context) == first and len(first) == 12
    (context / "more").write_text("x")
    assert image.tag_of(context) != first


def test_an_image_for_a_registry_is_built_and_pushed(context, engine, capfd) -> None:
    assert main(["image", "mine", str(context), "--registry", "docker.io/me/"]) == 0
    reference = f"docker.io/me/mine:{image.tag_of(context)}"
    assert capfd.readouterr().out == f"{reference}\n"
    build, push = engine.read_text().splitlines()
    file = context / "Containerfile"
    assert build == f"build --tag {reference} --file {file} {context}"
    assert push == f"push {reference}"


def test_a_build_that_fails_is_not_pushed(context, engine, capfd, monkeypatch) -> None:
    monkeypatch.setenv("FAIL", "build")
    assert main(["image", "mine", str(context), "--registry", "docker.io/me"]) == 1
    assert capfd.readouterr().err == "image: podman build failed (exit code 1)\n"
    assert len(engine.read_text().splitlines()) == 1


@pytest.mark.parametrize("name", ["", "Mine", "a/b", "-x", "a b"])
def test_what_is_no_name_is_refused(context: Path, name: str, capfd) -> None:
    assert main(["image", "--registry", "r.test", "--", name, str(context)]) == 1
    assert "is no image's name" in capfd.readouterr().err


def test_a_context_must_be_there(tmp_path: Path, capfd) -> None:
    assert main(["image", "mine", str(tmp_path / "none"), "--registry", "r.test"]) == 1
    assert "must be a folder" in capfd.readouterr().err
