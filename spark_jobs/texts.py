r"""Which files a count reads, and what each of them holds: one rule, wherever the count runs.

    found = find("books")       # a file, a folder, a glob
    found.texts                 # each Text with its compression and encoding
    found.left_out              # {name: why}

What is not hidden is counted, or refused by name (`TextError`, one line).
- Names that start with "_" or "." are hidden: left out, with all that is in such a folder. An input
  that has such a name itself, or holds nothing else, is refused.
- A link is what it leads to. Each folder is gone into once, so loops end; a link that leads back to
  a folder that it lies in, or to one that is counted already, is left out. A link to nothing is
  refused.
- Pipes, sockets, devices, and whatever cannot be read, are refused, and never waited for.
- What a file holds is told by its first bytes, not by its name: text in UTF-8, or in UTF-16 or
  UTF-32 with a byte order mark, or in the encoding that is given; plain, or compressed so that
  Hadoop can read it. Everything else is refused as what it looks like.

Only the standard library, Python 3.10, and no Spark: the cluster side has the same rule from here.
"""

from __future__ import annotations

import bz2
import codecs
import errno
import gzip
import io
import os
import re
import stat
import struct
import tarfile
import time
import unicodedata
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

#: How much of a file, unpacked, is looked at.
HEAD = 1 << 16

#: How much of a packed file suffices for its beginning.
PACKED_HEAD = 1 << 18

#: The share of control characters from which on something is no text: in valid UTF-8, which only
#: text is by chance, and in anything else.
CONTROLS_IN_UTF8, CONTROLS = 0.3, 0.05

#: What Hadoop unpacks, by the suffix from which alone it knows how.
SUFFIXES = {
    "gzip": ".gz",
    "bzip2": ".bz2",
    "zstd": ".zst",
    "deflate": ".deflate",
    "lz4": ".lz4",
    "snappy": ".snappy",
}

#: Files are looked at side by side: on a network each takes a while. A thread takes so many in one
#: go. Of more than both together the first tells whether one waits at all: where none does, threads
#: would be a third of what small files cost.
LOOKERS, IN_ONE_GO = 16, 16


Made = TypeVar("Made")


class TextError(Exception):
    """A file that cannot be counted; the message is one line that begins with its name."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{shown(name)}: {why}")


@dataclass(frozen=True)
class Text:
    """A file to count.

    name: as its user knows it. path: where it lies; only the last part may be a link. inner: its
    place below the folder that was named, "" for an input that is a file. compression: a key of
    SUFFIXES. encoding: the name of one that has to be decoded; None for UTF-8.
    """

    name: str
    path: str
    inner: str
    size: int
    compression: str | None = None
    encoding: str | None = None


@dataclass
class Found:
    """What `find` found: the texts in the order of their names, and what is left out, and why."""

    texts: list[Text] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def require_seen(self, name: str) -> None:
        """TextError if the input, of that name, has hidden names only."""
        hidden = list(self.left_out.values()).count(HIDDEN)
        if not self.texts and hidden:
            raise TextError(
                name, f"it holds nothing but hidden names (with _ or . first): {hidden}"
            )


def shown(name: str) -> str:
    """A name for people, in one line: bytes that are no UTF-8 and control characters escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def encoding_name(name: str) -> str | None:
    """argparse type: Python's name of an encoding of text; None for UTF-8. Raises ValueError."""
    try:
        "a".encode(name)
    except (LookupError, ValueError):
        raise ValueError(
            f"{name!r} is no encoding of text; known are latin-1, cp1252 ..."
        ) from None
    known = codecs.lookup(name).name
    return None if known in ("utf-8", "utf-8-sig") else known


def is_hidden(name: str) -> bool:
    """Whether the last part of a path is a hidden name."""
    last = os.path.basename(name.rstrip("/"))
    return last.startswith(("_", ".")) and last not in (".", "..")


HIDDEN = "hidden: the name starts with _ or ."


# -- what a file holds: archives, pictures and the like, by their first bytes

#: (offset, bytes, what it is). Those in letters only may begin a text; see `_BINARY`.
_FORMATS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", "a zip archive (or docx, xlsx, odt, epub, jar)"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"PK\x07\x08", "a zip archive in parts"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\xfd7zXZ\x00", "compressed by xz"),
    (0, b"\x5d\x00\x00", "compressed by lzma"),
    (0, b"LZIP", "compressed by lzip"),
    (0, b"\x89LZO\x00\r\n\x1a\n", "compressed by lzop"),
    (0, b"\x04\x22\x4d\x18", "compressed by lz4 (its frame format, which Hadoop does not read)"),
    (0, b"\x02\x21\x4c\x18", "compressed by lz4 (its old format, which Hadoop does not read)"),
    (0, b"\xff\x06\x00\x00sNaPpY", "compressed by snappy (framed, which Hadoop does not read)"),
    (0, b"\x82SNAPPY\x00", "compressed by snappy-java (which Hadoop does not read)"),
    (0, b"\x1f\x9d", "compressed by compress (.Z)"),
    (0, b"\x1f\xa0", "compressed by compress -H"),
    (0, b"\x1f\x1e", "compressed by pack"),
    (0, b"MSCF\x00\x00\x00\x00", "a cabinet file"),
    (0, b"xar!\x00", "a xar archive"),
    (0, b"!<arch>\n", "an ar archive (such as .a, .deb)"),
    (0, b"\xc7\x71", "a cpio archive"),
    (0, b"\x71\xc7", "a cpio archive"),
    (0, b"\xed\xab\xee\xdb", "an RPM package"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (doc, xls, ppt)"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF87a", "a GIF picture"),
    (0, b"GIF89a", "a GIF picture"),
    (0, b"II*\x00", "a TIFF picture"),
    (0, b"MM\x00*", "a TIFF picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"RIFF", "a RIFF file (such as WebP, WAV, AVI)"),
    (0, b"OggS", "an Ogg file"),
    (0, b"fLaC", "a FLAC file"),
    (0, b"ID3", "an MP3 file"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM film"),
    (4, b"ftyp", "an MP4 file or one of its kind (mov, heic)"),
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"MZ", "a program (Windows)"),
    (0, b"\xcf\xfa\xed\xfe", "a program (macOS)"),
    (0, b"\xca\xfe\xba\xbe", "a Java class or a program (macOS)"),
    (0, b"\x00asm", "a WebAssembly program"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"PARE", "an encrypted Parquet file"),
    (0, b"ORC", "an ORC file"),
    (0, b"Obj\x01", "an Avro file"),
    (0, b"SEQ", "a Hadoop sequence file"),
    (0, b"ARROW1\x00", "an Arrow file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
)

#: Those that are letters only: where what follows is text, they are its first word.
_LETTERS = re.compile(rb"BM|MZ|ID3|ORC|SEQ|PAR1|PARE|RIFF|OggS|fLaC|LZIP|ftyp")

#: What none of them begins needs no further look.
_MAGIC = re.compile(
    b"|".join(b".{%d}%b" % (offset, re.escape(magic)) for offset, magic, _ in _FORMATS), re.DOTALL
)

_PACKED = (
    (rb"\x1f\x8b\x08", "gzip"),
    (rb"BZh[1-9](\x31\x41\x59\x26\x53\x59|\x17\x72\x45\x38\x50\x90)", "bzip2"),
    (rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", "zstd"),
)

_MARKS: tuple[tuple[bytes, str | None], ...] = (
    (codecs.BOM_UTF8, None),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before the mark of UTF-16, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

#: Control characters that are in no text; tab, backspace, escape and the like are.
_CONTROLS = bytes([*range(0x08), *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x7F])


class Holds(NamedTuple):
    """What a file holds; see Text. `refused`: what it is, if it cannot be counted."""

    compression: str | None = None
    encoding: str | None = None
    refused: str | None = None


def holds(
    head: bytes,
    name: str = "",
    size: int = 0,
    encoding: str | None = None,
    unpack: Callable[[str], bytes] | None = None,
) -> Holds:
    """What a file holds that begins so.

    encoding: that of text without a mark. unpack: gives the beginning of what is in the file, for a
    key of SUFFIXES; without it what is packed is not looked into.
    """
    compression = _compression(head, name, size)
    if compression is None:
        refused = _format(head)
        return Holds(refused=refused) if refused else _text(head, encoding)
    if unpack is None:
        return Holds(compression)
    inner = holds(unpack(compression), encoding=encoding)
    what = f"compressed by {inner.compression}" if inner.compression else inner.refused
    return Holds(compression, inner.encoding, what and f"{what}, within {compression}")


def _compression(head: bytes, name: str, size: int) -> str | None:
    for pattern, compression in _PACKED:
        if re.match(pattern, head, re.DOTALL):
            return compression
    if _is_zlib(head):
        return "deflate"
    for compression in ("snappy", "lz4"):  # Hadoop's have no mark, only lengths
        if name.endswith(SUFFIXES[compression]) and len(head) >= 8:
            whole, first = struct.unpack(">II", head[:8])
            # In text these would be half a gigabyte.
            if 0 < whole < 1 << 26 and 0 < first <= min(size - 8, whole + whole // 4 + 64):
                return compression
    return None


def _is_zlib(head: bytes) -> bool:
    if len(head) < 3 or head[0] != 0x78 or int.from_bytes(head[:2], "big") % 31:
        return False
    try:
        zlib.decompressobj().decompress(head)
    except zlib.error:
        return False
    return True


def _format(head: bytes) -> str | None:
    for offset, magic, what in _FORMATS if _MAGIC.match(head) else ():
        if head.startswith(magic, offset) and not (_LETTERS.fullmatch(magic) and _is_utf8(head)):
            return what
    if re.match(rb"07070[127][0-9A-Fa-f]{70}", head):
        return "a cpio archive"
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")  # it has a sum of its own
    except tarfile.HeaderError:
        return None
    return "a tar archive"


def _text(head: bytes, encoding: str | None) -> Holds:
    """What text begins so, if it is text."""
    for mark, marked in _MARKS:
        if head.startswith(mark):
            encoding = marked
            break
    if encoding is not None:
        text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
        head = text.encode("utf-8", "replace")
    is_utf8 = _is_utf8(head)
    controls = len(head) - len(head.translate(None, _CONTROLS))
    is_text = controls <= (CONTROLS_IN_UTF8 if is_utf8 else CONTROLS) * len(head)
    if encoding is None and not (is_utf8 and is_text) and (guess := _unmarked(head)):
        return Holds(refused=f"text in {guess} without a byte order mark; name its encoding")
    if not is_text:
        return Holds(refused=f"no text: {controls} of {len(head)} bytes are control characters")
    return Holds(encoding=encoding)


def _is_utf8(head: bytes) -> bool:
    """Whether this is the beginning of valid UTF-8; it may be cut within a character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _unmarked(head: bytes) -> str | None:
    """In which encoding of two or four bytes a character these bytes are text, if in one."""
    guesses: list[tuple[int, str]] = []
    for encoding, unit in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head[: len(head) // unit * unit])
        except UnicodeDecodeError:
            continue
        strange = sum(unicodedata.category(c)[0] == "C" and not c.isspace() for c in text)
        # By chance any two bytes are a character, but not a space, an end of a line, a full stop.
        common = sum(c.isascii() or c in "\u3000\u3001\u3002" for c in text) - strange
        if strange <= 0.05 * len(text) and common > 0.01 * len(text):
            guesses.append((common * unit, encoding.upper()))
    return max(guesses)[1] if guesses else None


# -- where the files are


#: Gives what is in a file that begins so, for a key of SUFFIXES that Python cannot unpack.
Unpack = Callable[[bytes, str], bytes]


def find(name: str, encoding: str | None = None, unpack: Unpack | None = None) -> Found:
    """The files of this machine that an input means. Raises TextError.

    encoding: that of text without a mark. Without `unpack`, what Python cannot unpack is not looked
    into.
    """
    walk = _Walk()
    if not name:
        raise TextError("INPUT", "an empty string is no name")
    if os.path.lexists(name):
        if is_hidden(name):
            raise TextError(name, "a name that starts with _ or . is hidden; give it another")
        roots = [name]
    else:
        roots = matches(name)
    if not roots:
        raise TextError(name, "there is no such file or folder")
    for root in roots:
        walk.root(root)
    found = Found(list(walk.texts.values()), walk.left_out)
    found.require_seen(name)
    looked_at = side_by_side(lambda text: _looked_at(text, encoding, unpack), found.texts)
    found.texts = sorted(looked_at, key=lambda text: os.fsencode(text.name))
    return found


def side_by_side(work: Callable[[Text], Made], texts: Sequence[Text]) -> Iterator[Made]:
    """What a function makes of each text, in their order; few of that are in memory at once."""
    each = max(1, min(IN_ONE_GO, len(texts) // LOOKERS))
    first, size = 0, LOOKERS * each
    if len(texts) > LOOKERS * IN_ONE_GO:
        first = yield from _alone(work, texts, size)
    with ThreadPoolExecutor(LOOKERS) as pool:
        for start in range(first, len(texts), size):
            batch = texts[start : start + size]
            parts = [batch[at : at + each] for at in range(0, len(batch), each)]
            for made in pool.map(lambda part: [work(text) for text in part], parts):
                yield from made


def _alone(
    work: Callable[[Text], Made], texts: Sequence[Text], size: int
) -> Generator[Made, None, int]:
    """The same, one after the other until that is mostly waiting; how many those were."""
    done, is_waiting = 0, False
    while done < len(texts) and not is_waiting:
        batch = texts[done : done + size] if done else texts[:1]
        began, cpu = time.monotonic(), time.thread_time()
        made = [work(text) for text in batch]
        is_waiting = time.thread_time() - cpu < (time.monotonic() - began) / 2
        done += len(batch)
        yield from made
    return done


class _Walk:
    """Goes through folders: real ones first, so that what a link leads to has its own name."""

    def __init__(self) -> None:
        self.texts: dict[str, Text] = {}
        self.left_out: dict[str, str] = {}
        self._roots: list[str] = []
        self._seen: set[tuple[int, int]] = set()
        self._links: list[tuple[str, str, str]] = []

    def root(self, name: str) -> None:
        """Take in what the user named."""
        if is_hidden(name):
            self.left_out[name] = HIDDEN
            return
        self._roots.append(os.path.realpath(name))
        self._entry(name, self._roots[-1], "")
        while self._links:
            name, path, inner = self._links.pop(0)
            target = os.path.realpath(path)
            if any(_lies_in(place, target) for place in (os.path.dirname(path), *self._roots)):
                self.left_out[name] = "a link back to a folder that it lies in"
            else:
                self._folder(name, target, inner)

    def _entry(self, name: str, path: str, inner: str) -> None:
        try:
            found = os.stat(name)
        except FileNotFoundError:
            raise TextError(name, "it is a link to nothing") from None
        except OSError as error:
            raise _unreadable(name, error) from None
        if stat.S_ISDIR(found.st_mode):
            if inner and os.path.islink(path):
                self._links.append((name, path, inner))
            else:
                self._folder(name, path, inner)
        elif stat.S_ISREG(found.st_mode):
            self.texts.setdefault(path, Text(name, path, inner, found.st_size))
        else:
            kind = _kind(found.st_mode)
            raise TextError(name, f"it is {kind}; only files and folders are counted")

    def _folder(self, name: str, path: str, inner: str) -> None:
        folders = [(name, path, inner)]
        while folders:
            name, path, inner = folders.pop()
            try:
                found = os.stat(path)
                with os.scandir(path) as entries:
                    is_folder = {one.name: one.is_dir(follow_symlinks=False) for one in entries}
            except OSError as error:
                raise _unreadable(name, error) from None
            if (found.st_dev, found.st_ino) in self._seen:
                self.left_out[name] = "a folder that is counted already"
                continue
            self._seen.add((found.st_dev, found.st_ino))
            for last in sorted(is_folder, key=os.fsencode):
                below = [os.path.join(part, last) for part in (name, path, inner)]
                if is_hidden(last):
                    self.left_out[below[0]] = HIDDEN
                elif is_folder[last]:
                    folders.append((below[0], below[1], below[2]))
                else:
                    self._entry(*below)


def _lies_in(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


def _unreadable(name: str, error: Exception) -> TextError:
    return TextError(name, f"cannot be read: {getattr(error, 'strerror', None) or error}")


def open_text(path: str) -> io.BufferedReader:
    """A file for reading, as it lies there. Raises OSError; what is none is not waited for."""
    return open(path, "rb", opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    opened = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(opened).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # that one is told by Python
        os.close(opened)
        raise OSError(errno.EINVAL, f"it is {_kind(mode)}", path)
    return opened


def unpacked(stream: io.BufferedIOBase, compression: str | None) -> io.BufferedIOBase | None:
    """What is in a file; None for what Python cannot unpack."""
    if compression is None:
        return stream
    if compression == "gzip":
        return gzip.GzipFile(fileobj=stream)
    return bz2.BZ2File(stream) if compression == "bzip2" else None


def _looked_at(text: Text, encoding: str | None, unpack: Unpack | None) -> Text:
    """The text with what it holds."""

    def inside(compression: str) -> bytes:
        stream.seek(0)
        inner = unpacked(stream, compression)
        if inner is not None:
            return beginning(inner)
        packed = stream.read(PACKED_HEAD)
        if compression == "deflate":
            return zlib.decompressobj().decompress(packed, HEAD)
        return unpack(packed, compression) if unpack else b""

    try:
        with open_text(text.path) as stream:
            held = holds(stream.read(HEAD), text.path, text.size, encoding, inside)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(text.name, error) from None
    return judged(text, held)


def judged(text: Text, held: Holds) -> Text:
    """The text with what it holds; TextError if that cannot be counted."""
    promised = next((c for c, suffix in SUFFIXES.items() if text.path.endswith(suffix)), None)
    if held.refused:
        raise TextError(text.name, f"it is {held.refused}")
    if promised and not held.compression and text.size:
        raise TextError(text.name, f"cannot be read: it is not {promised}, as its name says")
    if held == (text.compression, text.encoding, None):
        return text  # as nearly all are
    return replace(text, compression=held.compression, encoding=held.encoding)


def beginning(stream: io.BufferedIOBase) -> bytes:
    """The first HEAD bytes of a stream that may be damaged behind them."""
    read = b""
    try:
        while len(read) < HEAD and (piece := stream.read(min(4096, HEAD - len(read)))):
            read += piece
    except (OSError, EOFError, zlib.error):
        if not read:
            raise
    return read


# -- globs, as Hadoop has them


def matches(pattern: str) -> list[str]:
    """The names that a glob means: * ? [a-z] [^a-z] {a,b}, and a backslash before any of them."""
    found: dict[str, None] = {}
    for alternative in _alternatives(pattern):
        parts = alternative.split("/")
        names = ["/"] if parts[0] == "" and len(parts) > 1 else [""]
        for part in filter(None, parts):
            names = [match for name in names for match in _children(name, part)]
        found.update(dict.fromkeys(name for name in names if name and os.path.lexists(name)))
    return list(found)


def _alternatives(pattern: str) -> Iterator[str]:
    """What a pattern with braces stands for."""
    depth, commas = 0, []
    for match in re.finditer(r"\\.|[{},]", pattern, re.DOTALL):
        if match[0] == "{":
            depth += 1
            if depth == 1:
                commas = [match.start()]
        elif depth == 1 and match[0] in ",}":
            commas.append(match.start())
        if match[0] == "}" and depth:
            depth -= 1
            if depth == 0:
                before, after = pattern[: commas[0]], pattern[commas[-1] + 1 :]
                for start, end in zip(commas, commas[1:], strict=False):
                    yield from _alternatives(before + pattern[start + 1 : end] + after)
                return
    yield pattern


def _children(folder: str, part: str) -> list[str]:
    """The names in a folder that one part of a glob means."""
    if not re.search(r"[*?\[\\]", part):
        return [os.path.join(folder, part)]
    wanted = re.compile(
        re.sub(r"\\.|\[[!^]?\]?[^\]]*\]|.", _as_regex, part, flags=re.DOTALL), re.DOTALL
    )
    try:
        return sorted(
            os.path.join(folder, name)
            for name in os.listdir(folder or ".")
            if wanted.fullmatch(name)
        )
    except OSError:
        return []


def _as_regex(token: re.Match[str]) -> str:
    text = token[0]
    if text in ("*", "?"):
        return ".*" if text == "*" else "."
    if text.startswith("[") and len(text) > 2:
        negated = text[1] in "!^"
        inside = re.sub(r"[\\\[&~|]", r"\\\g<0>", text[1 + negated : -1])
        return f"[{'^' if negated else ''}{inside}]"
    return re.escape(text[1:] if text.startswith("\\") and len(text) > 1 else text)
