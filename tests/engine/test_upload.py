"""What is copied of a text, by the real engine: with the stand-in, or with Pulumi's own plugin."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import Engine
from tests.unit.ssh_server import ssh_server

Copied = dict[str, bytes]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("upload")
    (made / "there").mkdir()
    (made / "books.tar" / "below").mkdir(parents=True)  # Pulumi would take the name for an archive
    return made


@pytest.fixture(scope="module")
def engine(base: Path) -> Iterator[Engine]:
    made = Engine(base, "http://127.0.0.1:9", Path(__file__).parent / "upload_part.py")
    with ssh_server() as server:
        given = {"input": f"{base}/books.tar", "folder": f"{base}/there"}
        made.env["UPLOAD"] = json.dumps({**given, "connection": server.connection()})
        yield made
        # It is only for copying: what was copied goes without it.
        shutil.rmtree(made.program / ".tinderbox")
        made.pulumi("destroy", "--yes", "--skip-preview")


@pytest.fixture
def up(engine: Engine, base: Path) -> Callable[[], Copied]:
    """Updates; what is there then of the text, in the newest of its places."""

    def call() -> Copied:
        engine.pulumi("up", "--yes", "--skip-preview")
        (copy,) = [r["inputs"] for r in engine.state() if r["type"].endswith(":CopyToRemote")]
        place = Path(copy["remotePath"])
        return {str(f.relative_to(place)): f.read_bytes() for f in place.rglob("*") if f.is_file()}

    return call


def test_just_what_is_counted_is_copied(up: Callable[[], Copied], engine: Engine, base: Path):
    books = base / "books.tar"
    names = ["2026-01-01T10:00:00.txt", "below/\u00e4 \u65e5.txt", os.fsdecode(b"caf\xe9.txt")]
    for name in [*names, ".hidden", "below/_draft"]:
        (books / name).write_text(name.encode("utf-8", "replace").decode())
    (books / "self").symlink_to(books)
    (books / ".#lock").symlink_to("me@here")
    (base / "more").mkdir()
    (base / "more" / "z.txt").write_text("more")
    (books / "more").symlink_to(base / "more")
    (books / "link.txt").symlink_to("../more/z.txt")
    seen = ["2026-01-01T10:00:00.txt", "below/\u00e4 \u65e5.txt", "caf=xe9.txt"]
    wanted = {f"books.tar/{s}": (books / n).read_bytes() for s, n in zip(seen, names, strict=True)}
    wanted |= {f"books.tar/{name}": b"more" for name in ("more/z.txt", "link.txt")}
    assert up() == wanted
    # What is not counted is no change, and all that is counted is one, behind links as well.
    (books / ".hidden").write_text("else")
    assert {step["op"] for step in engine.preview()} <= {"same"}
    (base / "more" / "z.txt").write_text("other")
    assert up() == {**wanted, "books.tar/more/z.txt": b"other", "books.tar/link.txt": b"other"}


def test_what_can_not_be_copied_is_one_line_in_the_preview(engine: Engine, base: Path):
    os.mkfifo(base / "books.tar" / "pipe")
    done = engine.pulumi("preview", fails=True)
    (base / "books.tar" / "pipe").unlink()
    lines = [line for line in done.stdout.splitlines() if "wordCount.input is" in line]
    assert lines and all("books.tar/pipe: it is a pipe" in line for line in lines), done.stdout
    assert "Traceback" not in done.stdout + done.stderr
