"""texts.py: which files a count reads, and what they hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import socket
import sqlite3
import tarfile
import threading
import zipfile
import zlib
from contextlib import closing
from pathlib import Path

import pytest
import texts
from texts import TextError, find

LATIN_1 = os.fsdecode(b"caf\xe9.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def inner(name: Path | str) -> list[str]:
    return [text.inner for text in find(str(name)).texts]


def refusal(name: Path | str, encoding: str | None = None) -> str:
    """The one line with which an input is refused, without the input's name."""
    with pytest.raises(TextError) as caught:
        find(str(name), encoding)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(texts.shown(str(name)))
    return line.removeprefix(texts.shown(str(name)))


# -- names


ODD_NAMES = [
    "2026-01-01T10:00:00.txt",
    "bücher.txt",
    LATIN_1,
    "new\nline",
    "tab\t",
    "a b ",
    " ",
    "100%25",
    "[a]*?{b}\\",
    "x._COPYING_",
    "-n",
    "~",
    "a#b",
    "a=b",
    "n" * 255,
]


def test_every_name_is_found(folder: Path) -> None:
    for name in ODD_NAMES:
        (folder / name).write_text("word")
    assert sorted(inner(folder)) == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        (text,) = find(str(folder / name)).texts
        assert (text.name, text.inner, text.size) == (str(folder / name), "", 4)


def test_names_are_shown_in_one_line() -> None:
    assert texts.shown(LATIN_1) == r"caf\xe9.txt"
    assert texts.shown("new\nline\x1b[31m bücher") == r"new\nline\x1b[31m bücher"


def test_hidden_names_are_left_out_and_told(folder: Path) -> None:
    for name in ("_metadata", ".#a.txt", "_common_metadata", "seen", "x._COPYING_"):
        (folder / name).write_text("word")
    (folder / ".git" / "below").mkdir(parents=True)
    (folder / ".git" / "below" / "a").write_text("word")
    os.symlink("nowhere", folder / ".#lock")
    found = find(str(folder))
    assert [text.inner for text in found.texts] == ["seen", "x._COPYING_"]
    hidden = ["_metadata", ".#a.txt", "_common_metadata", ".git", ".#lock"]
    assert found.left_out == {str(folder / name): texts.HIDDEN for name in hidden}


def test_nothing_but_hidden_names_is_refused(folder: Path) -> None:
    (folder / ".a").touch()
    (folder / "below").mkdir()
    (folder / "below" / "_b").touch()
    assert refusal(folder) == ": it holds nothing but hidden names (with _ or . first): 2"
    assert refusal(folder / ".a") == ": a name that starts with _ or . is hidden; give it another"
    assert "hidden" in refusal(f"{folder}/*")


def test_a_folder_in_a_hidden_one_is_not_hidden(folder: Path, monkeypatch) -> None:
    (folder / ".cache" / "books").mkdir(parents=True)
    (folder / ".cache" / "books" / "a").touch()
    assert inner(folder / ".cache" / "books") == ["a"]
    monkeypatch.chdir(folder / ".cache" / "books")
    assert inner(".") == inner("../books/") == ["a"]


def test_an_empty_folder_is_no_fault(folder: Path) -> None:
    found = find(str(folder))
    assert (found.texts, found.left_out) == ([], {})


def test_what_is_not_there(folder: Path) -> None:
    for name in ("nothing", "nothing*", "nothing/below", "{a", "[", "a:b"):
        assert refusal(folder / name) == ": there is no such file or folder"
    with pytest.raises(TextError, match="INPUT: an empty string is no name"):
        find("")


# -- links


def test_a_loop_is_gone_through_once(folder: Path) -> None:
    (folder / "a.txt").touch()
    (folder / "below").mkdir()
    (folder / "below" / "b.txt").touch()
    os.symlink(".", folder / "self")
    os.symlink("..", folder / "up")
    os.symlink("/", folder / "root")
    os.symlink(folder, folder / "below" / "top")
    found = find(str(folder))
    assert [text.inner for text in found.texts] == ["a.txt", "below/b.txt"]
    loops = {str(folder / name) for name in ("self", "up", "root", "below/top")}
    assert found.left_out == dict.fromkeys(loops, "a link back to a folder that it lies in")


def test_folders_that_link_to_each_other(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (folder / "a").touch()
    (other / "b").touch()
    os.symlink(other, folder / "x")
    os.symlink(folder, other / "y")
    os.symlink(tmp_path, other / "z")
    found = find(str(folder))
    assert [text.inner for text in found.texts] == ["a", "x/b"]
    assert set(found.left_out) == {str(folder / "x/y"), str(folder / "x/z")}


def test_a_linked_folder_is_counted_once_and_by_its_own_name(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "real" / "a").touch()
    os.symlink("real", folder / "first")
    os.symlink("first", folder / "chain")
    found = find(str(folder))
    assert [text.inner for text in found.texts] == ["real/a"]
    already = "a folder that is counted already"
    assert found.left_out == {str(folder / n): already for n in ("first", "chain")}


def test_a_linked_file_is_a_file_of_its_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".kept").write_text("word")
    (folder / "a").write_text("word")
    os.symlink("a", folder / "b")
    os.symlink("b", folder / "c")
    os.symlink(tmp_path / ".kept", folder / "d")
    found = find(str(folder)).texts
    assert [text.inner for text in found] == ["a", "b", "c", "d"]
    assert len({text.path for text in found}) == 4


def test_a_link_to_nothing_is_refused(folder: Path) -> None:
    (folder / "a").touch()
    os.symlink("nowhere", folder / "gone.txt")
    assert refusal(folder) == "/gone.txt: it is a link to nothing"
    assert refusal(folder / "gone.txt") == ": it is a link to nothing"
    (folder / "gone.txt").unlink()
    os.symlink("loop", folder / "loop")
    assert refusal(folder) == "/loop: cannot be read: Too many levels of symbolic links"


# -- what is no file


def test_pipes_sockets_and_devices_are_refused_at_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert refusal(folder) == "/pipe: it is a pipe; only files and folders are counted"
    assert refusal(folder / "pipe").startswith(": it is a pipe")
    (folder / "pipe").unlink()
    os.symlink("/dev/null", folder / "link")
    assert refusal(folder).startswith("/link: it is a device")
    (folder / "link").unlink()
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(str(folder / "socket"))
        assert refusal(folder).startswith("/socket: it is a socket")
    assert refusal("/dev/null").startswith(": it is a device")
    assert refusal("/dev/zero").startswith(": it is a device")


def test_process_substitution_is_refused() -> None:
    read, write = os.pipe()
    try:
        for name in (f"/dev/fd/{read}", f"/proc/self/fd/{read}"):
            assert refusal(name).startswith(": it is a pipe")
    finally:
        os.close(read)
        os.close(write)


def test_a_pipe_that_comes_in_a_files_place_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(OSError, match="it is a pipe"):
        texts.open_text(str(folder / "pipe"))


@pytest.mark.parametrize("call", ["scandir", "open"])
def test_what_cannot_be_read_is_named(call: str, folder: Path, monkeypatch) -> None:
    """By a stand-in for the missing right, which root would have all the same."""
    (folder / "below").mkdir()
    (folder / "below" / "a").touch()
    real = getattr(os, call)

    def refuse(path, *args, **kwargs):
        if os.fspath(path).startswith(str(folder / "below")):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, call, refuse)
    name = "/below" if call == "scandir" else "/below/a"
    assert refusal(folder) == f"{name}: cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("number", "waits", "alone"),
    [(16, False, 0), (600, False, 600), (600, True, 1)],
    ids=["few", "many", "many that each take a while"],
)
def test_of_many_only_those_that_wait_are_looked_at_side_by_side(
    number: int, waits: bool, alone: int, monkeypatch
) -> None:
    """By clocks that go on by a second with each text; the thread's own stands while it waits."""
    seconds = {"monotonic": 0, "thread_time": 0}
    for clock in seconds:
        monkeypatch.setattr(texts.time, clock, lambda clock=clock: seconds[clock])

    def work(text: texts.Text) -> tuple[str, bool]:
        seconds["monotonic"] += 1
        seconds["thread_time"] += not waits
        return text.name, threading.current_thread() is threading.main_thread()

    found = [texts.Text(str(n), str(n), "", 1) for n in range(number)]
    made = list(texts.side_by_side(work, found))
    assert [name for name, _ in made] == [text.name for text in found]
    assert [is_alone for _, is_alone in made] == [n < alone for n in range(number)]


# -- what files hold

TEXT = "Der Zürcher Käse, größer als 100 €.\n" * 50


def tar(format_: int = tarfile.USTAR_FORMAT) -> bytes:
    """An archive of one text."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format_) as archive:
        info = tarfile.TarInfo("a.txt")
        info.size = len(TEXT.encode())
        archive.addfile(info, io.BytesIO(TEXT.encode()))
    return made.getvalue()


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("word/document.xml", TEXT)
    return made.getvalue()


def old_tar() -> bytes:
    """As before POSIX: no "ustar", but a sum."""
    header = bytearray(tar()[:512])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + TEXT.encode()


def sqlite(folder: Path) -> bytes:
    with closing(sqlite3.connect(folder / "db")) as database:
        database.execute("create table t (word text)")
        database.commit()
    return (folder / "db").read_bytes()


NOISE = random.Random(4).randbytes(5000)
ZEROS = bytes(100)

REFUSED: dict[str, tuple[bytes, str]] = {
    "zip": (zipped(), "a zip archive"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "an empty zip"),
    "xz": (lzma.compress(TEXT.encode()), "compressed by xz"),
    "lzma": (lzma.compress(TEXT.encode(), lzma.FORMAT_ALONE), "compressed by lzma"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04" + NOISE, "a 7z archive"),
    "rar": (b"Rar!\x1a\x07\x01\x00" + NOISE, "a RAR archive"),
    "tar": (tar(), "a tar archive"),
    "tar of gnu": (tar(tarfile.GNU_FORMAT), "a tar archive"),
    "tar of pax": (tar(tarfile.PAX_FORMAT), "a tar archive"),
    "tar of old": (old_tar(), "a tar archive"),
    "tar.gz": (gzip.compress(tar()), "a tar archive, within gzip"),
    "tar.bz2": (bz2.compress(tar()), "a tar archive, within bzip2"),
    "tar.Z": (b"\x1f\x9d\x90" + NOISE, "compressed by compress"),
    "gz.gz": (gzip.compress(gzip.compress(b"a")), "compressed by gzip, within gzip"),
    "zip in gz": (gzip.compress(zipped()), "a zip archive (or docx"),
    "lz4": (b"\x04\x22\x4d\x18\x64\x40\xa7" + NOISE, "compressed by lz4"),
    "lzop": (b"\x89LZO\x00\r\n\x1a\n" + NOISE, "compressed by lzop"),
    "brotli": (NOISE, "no text: "),
    "cpio": (b"0707010000A1B2" + b"0" * 96 + b"a.txt\0" + TEXT.encode() + ZEROS, "a cpio"),
    "deb": (b"!<arch>\ndebian-binary   1342943816", "an ar archive"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "a PDF document"),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + ZEROS, "an old Office"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + NOISE, "a PNG picture"),
    "jpeg": (b"\xff\xd8\xff\xe0\x00\x10JFIF" + NOISE, "a JPEG picture"),
    "mp4": (b"\0\0\0\x20ftypisom" + NOISE, "an MP4 file"),
    "elf": (b"\x7fELF\x02\x01\x01" + ZEROS, "a program"),
    "exe": (b"MZ\x90\x00\x03" + NOISE, "a program"),
    "class": (b"\xca\xfe\xba\xbe\0\0\0\x3d" + NOISE, "a Java class"),
    "parquet": (b"PAR1\x15\x04\x15\x10" + NOISE + b"PAR1", "a Parquet file"),
    "orc": (b"ORC\x08\x03\x10\x05" + NOISE, "an ORC file"),
    "avro": (b"Obj\x01\x04\x16avro.schema", "an Avro file"),
    "sequence file": (b"SEQ\x06\x19org.apache.hadoop" + NOISE, "a Hadoop sequence"),
    "arrow": (b"ARROW1\0\0" + NOISE, "an Arrow file"),
    "noise": (NOISE, "no text: "),
    "zeros": (ZEROS, "no text: 100 of 100 bytes"),
    "noise in gz": (gzip.compress(NOISE), "no text: "),
    "utf-16-le": (TEXT.encode("utf-16-le"), "text in UTF-16-LE without"),
    "utf-16-be": (TEXT.encode("utf-16-be"), "text in UTF-16-BE without"),
    "utf-16 of Russian": ("Война и мир, том первый. ".encode("utf-16-be") * 9, "text in UTF-16-BE"),
    "utf-16 of Chinese": ("道可道，非常道。名可名\n".encode("utf-16-le") * 9, "text in UTF-16-LE"),
    "utf-32-le": (TEXT.encode("utf-32-le"), "text in UTF-32-LE without"),
    "utf-32-be": (TEXT.encode("utf-32-be"), "text in UTF-32-BE without"),
    "utf-16 in gz": (gzip.compress(TEXT.encode("utf-16-le")), "text in UTF-16-LE"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_counted_is_refused_as_what_it_is(what: str, folder: Path) -> None:
    content, named = REFUSED[what]
    for name in ("a.txt", "a.gz", "a"):
        (folder / name).write_bytes(content)
        assert refusal(folder / name).startswith(f": it is {named}")


def test_a_database_is_refused(folder: Path) -> None:
    (folder / "a.txt").write_bytes(sqlite(folder))
    assert refusal(folder / "a.txt") == ": it is an SQLite database"


Held = tuple[str | None, str | None]
TAKEN: dict[str, tuple[bytes, Held]] = {
    "utf-8": (TEXT.encode(), (None, None)),
    "empty": (b"", (None, None)),
    "cut in a character": (b"x" * (texts.HEAD - 1) + "é".encode(), (None, None)),
    "utf-8 with a mark": (TEXT.encode("utf-8-sig"), (None, None)),
    "only a mark": (b"\xef\xbb\xbf", (None, None)),
    "latin-1": (TEXT.replace("€", "").encode("latin-1"), (None, None)),
    "koi8-r": ("Война и мир".encode("koi8-r") * 20, (None, None)),
    "latin-1 with a zero": (b"zero\0 " + TEXT.replace("€", "").encode("latin-1"), (None, None)),
    "zeros between names": (b"first.txt\0second.txt\0third.txt\0", (None, None)),
    "colours": (b"\x1b[31mred\x1b[0m \x1b[1mbold\x1b[0m\n", (None, None)),
    "overstruck": (b"N\x08NA\x08AM\x08ME\x08E\n", (None, None)),
    "words like marks": (b"MZ is a name, PAR1 and ORC are others\n", (None, None)),
    "BM": (b"BMW\n", (None, None)),
    "RIFF": (b"RIFF raff\n", (None, None)),
    "PAR1": ("PAR1 für alle\n".encode(), (None, None)),
    "x^": (b"x^2 + y^2 = z^2", (None, None)),
    "BZh": (b"BZh9 is what a bzip2 file begins with", (None, None)),
    "070707": (b"070707 is a number", (None, None)),
    "utf-16": (TEXT.encode("utf-16"), (None, "utf-16")),
    "utf-16 big": (b"\xfe\xff" + TEXT.encode("utf-16-be"), (None, "utf-16")),
    "utf-16 odd": (TEXT.encode("utf-16") + b"x", (None, "utf-16")),
    "utf-32": (TEXT.encode("utf-32"), (None, "utf-32")),
    "utf-32 big": (b"\0\0\xfe\xff" + TEXT.encode("utf-32-be"), (None, "utf-32")),
    "only a mark of utf-16": (b"\xff\xfe", (None, "utf-16")),
    "gzip": (gzip.compress(TEXT.encode()), ("gzip", None)),
    "empty in gzip": (gzip.compress(b""), ("gzip", None)),
    "members of gzip": (gzip.compress(b"") + gzip.compress(b"a"), ("gzip", None)),
    "gzip, cut": (gzip.compress(random.Random(1).randbytes(9).hex().encode() * 99), ("gzip", None)),
    "bzip2": (bz2.compress(TEXT.encode()), ("bzip2", None)),
    "empty in bzip2": (bz2.compress(b""), ("bzip2", None)),
    "deflate": (zlib.compress(TEXT.encode()), ("deflate", None)),
    "zstd": (b"\x28\xb5\x2f\xfd\x24\x01\x09\x00\x00a" + NOISE, ("zstd", None)),
    "zstd, to skip": (b"\x50\x2a\x4d\x18\x04\0\0\0abcd\x28\xb5\x2f\xfd", ("zstd", None)),
    "utf-16 in gzip": (gzip.compress(TEXT.encode("utf-16")), ("gzip", "utf-16")),
}  # fmt: skip


@pytest.mark.parametrize("what", TAKEN)
def test_what_can_be_counted_is_told_by_its_content(what: str, folder: Path) -> None:
    content, held = TAKEN[what]
    for name in ("a.txt", "a", "a.gz" if held[0] else "a.GZ"):
        (folder / name).write_bytes(content)
        (text,) = find(str(folder / name)).texts
        assert (text.compression, text.encoding) == held


def test_a_block_of_bzip2_is_longer_than_what_is_looked_at(folder: Path) -> None:
    (folder / "a.txt").write_bytes(bz2.compress(random.Random(1).randbytes(600_000).hex().encode()))
    (text,) = find(str(folder / "a.txt")).texts
    assert (text.compression, text.encoding) == ("bzip2", None)


def test_what_hadoop_packs_without_a_mark(folder: Path) -> None:
    block = b"\0\0\0\x0a\0\0\0\x0c" + b"\x0a\x24twelve bytes"
    for suffix, compression in ((".snappy", "snappy"), (".lz4", "lz4")):
        (folder / f"a{suffix}").write_bytes(block)
        (text,) = find(str(folder / f"a{suffix}")).texts
        assert text.compression == compression


@pytest.mark.parametrize("compression", texts.SUFFIXES)
def test_what_is_only_named_as_packed_is_refused(compression: str, folder: Path) -> None:
    """A page that says "not found" is often what a download of a .gz holds."""
    file = folder / f"a{texts.SUFFIXES[compression]}"
    file.write_text("<html>")
    assert refusal(file) == f": cannot be read: it is not {compression}, as its name says"
    file.write_text("")
    assert inner(file) == [""]


def test_what_python_cannot_unpack_is_looked_into_by_others(folder: Path) -> None:
    (folder / "a.zst").write_bytes(TAKEN["zstd"][0])
    asked = []

    def unpack(head: bytes, compression: str) -> bytes:
        asked.append((head, compression))
        return tar()

    with pytest.raises(TextError, match="a.zst: it is a tar archive, within zstd"):
        find(str(folder), unpack=unpack)
    assert asked == [(TAKEN["zstd"][0], "zstd")]


def test_a_damaged_file_is_refused(folder: Path) -> None:
    (folder / "a.gz").write_bytes(gzip.compress(b"a")[:9])
    assert refusal(folder / "a.gz").startswith(": cannot be read: ")


def test_an_encoding_is_that_of_all_without_a_mark(folder: Path) -> None:
    contents = {
        "a": TEXT.encode("cp1252"),
        "b": TEXT.encode("utf-16"),
        "c": TEXT.encode("utf-8-sig"),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    found = find(str(folder), "cp1252").texts
    assert [text.encoding for text in found] == ["cp1252", "utf-16", None]
    (folder / "d").write_bytes(NOISE)
    (folder / "e").write_bytes(zipped())
    assert "a zip archive" in refusal(folder / "e", "cp1252")


# -- globs


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a*", "a1 a2"),
        ("?1", "a1 b1"),
        ("[ab]2", "a2"),
        ("[^a]1", "b1"),
        ("[!a]1", "b1"),
        ("{a,b}1", "a1 b1"),
        ("{a{1,2},b1}", "a1 a2 b1"),
        ("d*/*", "d/x d/y"),
        ("*/x", "d/x"),
        (r"\a1", "a1"),
        (r"a\*", ""),
        ("{a1,a*}", "a1 a2"),
        ("b{}1", "b1"),
        ("*", "a1 a2 b1 d"),
    ],
)
def test_globs(pattern: str, names: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a1", "a2", "b1", "d/x", "d/y"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert texts.matches(f"{folder}/{pattern}") == [f"{folder}/{name}" for name in names.split()]
    monkeypatch.chdir(folder)
    assert texts.matches(pattern) == names.split()


def test_a_name_that_exists_is_no_glob(folder: Path) -> None:
    for name in ("a[1]{b}*?.txt", "a1.txt"):
        (folder / name).touch()
    (text,) = find(str(folder / "a[1]{b}*?.txt")).texts
    assert text.name == str(folder / "a[1]{b}*?.txt")


def test_what_two_matches_share_is_counted_once(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "x").touch()
    (folder / ".b").touch()
    found = find(f"{folder}/{{a,a/x,.b}}")
    assert [text.name for text in found.texts] == [str(folder / "a/x")]
    assert found.left_out == {str(folder / ".b"): texts.HIDDEN}
