r"""Gives Spark the lines of texts, whatever their names, encodings and lines are like.

Spark's reader opens names by the locale of its JVM, unpacks by suffix, takes some names for hidden
or for globs, knows UTF-8 only, and has a whole line in memory. So
- a file whose name is not what Spark needs gets a passing one: a link in a hidden folder of the
  output, where every executor sees it (a copy, where that is no folder of this machine's);
- a text in another encoding is decoded into that folder, and one that Spark can't unpack unpacked;
- a text with a line longer than LINE is cut at another whitespace than "\n";
- more than MANY small texts are put into one file: Spark takes longer to open one than to count it.
All other texts, which are nearly all, Spark gets as they are.

Only pyspark and the standard library, Python 3.10: it goes into a cluster beside the job.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import reduce
from typing import Any
from urllib.parse import unquote

import texts
from careful import (
    Output,
    UserError,
    about,
    causes,
    java,
    java_context,
    local_path,
    locate,
    names_in_java,
    root_cause,
    say,
)
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from texts import Found, Text, TextError, shown

#: Bytes of a line from which on it is cut. A task needs some thirty times as much for a line.
LINE = 1 << 20

#: The same of lines that must not be cut, and of words. In a store, where a look at a place is a
#: request, places are so far apart.
LONGEST = 1 << 24

#: At how many places of a file its lines are measured; between them, in a very large file, not.
PLACES = 4096

#: So many bytes of packed files are unpacked to measure their lines; of others the beginning is.
UNPACKED_TO_MEASURE = 1 << 28

#: So many texts of at most HEAD bytes are no few, and so many bytes of them go into one file: it
#: takes room where the output is.
MANY, PACKED = 256, 1 << 32

#: How many names of what is left out are told.
NAMED = 10

#: Unicode's White_Space; what texts are likely to have comes first.
WHITE_SPACE = "\n \t\r\v\f\u3000\xa0\x85\u1680\u2028\u2029\u202f\u205f" + "".join(
    map(chr, range(0x2000, 0x200B))
)

#: Names that Spark opens under any locale, and takes for no glob.
_SAFE = re.compile(r"[A-Za-z0-9_./=+@, -]*")

#: The hidden folder in the output.
_PASSING = ".texts"


def not_a_glob(name: str) -> str:
    """A path in which Spark's readers take no character for a wildcard."""
    return re.sub(r"([\\{}\[\]*?])", r"\\\1", name)


# -- lines, and how long they are


def separator(
    open_: Callable[[], io.BufferedIOBase],
    stride: int = LINE,
    line: int = LINE,
    places: int = PLACES,
    candidates: str = WHITE_SPACE,
) -> str | None:
    r"""A whitespace that ends lines of a bearable length in a text: "\n", if that does; or None.

    Looks for one within `line` bytes at places that are `stride` bytes apart, so it reads a few
    bytes of each place only. Without any but the first candidates ("\n") it reads a second time.
    """
    for some in (candidates[:1], candidates[1:]):
        with open_() as stream:
            if found := _everywhere(stream, some, stride, line, places):
                return found[0]
    return None


def _everywhere(
    stream: io.BufferedIOBase, candidates: str, stride: int, line: int, places: int
) -> list[str]:
    """Those of the candidates that are at each place."""
    found = {c: c.encode() for c in candidates}
    for _ in range(places):
        missing, window, read = found, b"", 0
        while missing and read < line:
            piece = stream.read(min(1 << 16 if read else 1 << 12, line - read))
            if not piece:
                return list(found)  # What is left is short.
            read += len(piece)
            window = window[-2:] + piece  # A character has up to three bytes.
            missing = {c: code for c, code in missing.items() if code not in window}
        found = {c: code for c, code in found.items() if c not in missing}
        if not found:
            break
        stream.seek(stride - read, io.SEEK_CUR)
    return list(found)


class _Decoder:
    """Text as UTF-8, with U+FFFD for bytes that are none, which are counted."""

    def __init__(self, encoding: str) -> None:
        self.replaced = 0
        codecs.register_error("texts.replaced", self._replace)
        self._decoder = codecs.getincrementaldecoder(encoding)("texts.replaced")

    def _replace(self, error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError):
            raise error
        self.replaced += error.end - error.start
        return "\ufffd", error.end

    def decode(self, piece: bytes, final: bool) -> bytes:
        return self._decoder.decode(piece, final).encode("utf-8", "replace")


def decoded(pieces: Iterator[bytes], encoding: str, write: Callable[[bytes], Any]) -> int:
    """Write a text as UTF-8; how many of its bytes are not in its encoding."""
    decoder = _Decoder(encoding)
    for piece in pieces:
        write(decoder.decode(piece, False))
    write(decoder.decode(b"", True))
    return decoder.replaced


_TO_NEWLINES = bytes.maketrans(b" \t\r\v\f", b"\n" * 5)


def cut(pieces: Iterator[bytes], write: Callable[[bytes], Any], longest: int = LONGEST) -> None:
    """Write a text with a line for each word, by ASCII's whitespace; UserError for a long word."""
    word = 0
    for piece in pieces:
        lines = piece.translate(_TO_NEWLINES)
        first = lines.find(b"\n")
        word += len(lines) if first < 0 else first
        if word > longest:
            raise UserError(f"more than {longest} bytes without whitespace")
        if first >= 0:
            word = len(lines) - 1 - lines.rfind(b"\n")
        write(lines)


def _pieces(stream: io.BufferedIOBase) -> Iterator[bytes]:
    return iter(lambda: stream.read(1 << 20), b"")


# -- files in other file systems than this machine's, and what only Java unpacks


class JavaStream(io.BufferedIOBase):
    """Java's InputStream. Its failures are OSErrors; only forward seeks are known."""

    def __init__(self, stream: Any, is_seekable: bool = False) -> None:
        self._stream = stream
        self._is_seekable = is_seekable
        self._is_over = False

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if self._is_over or size is None or size < 0:
            return b""
        with _java_failures():
            return bytes(self._stream.readNBytes(size))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            if self._is_seekable:
                self._stream.seek(self._stream.getPos() + offset)
            else:
                self._stream.skipNBytes(offset)
        except Py4JJavaError:
            self._is_over = True  # Behind the end.
        return 0

    def close(self) -> None:
        if not self.closed:
            with suppress(Py4JJavaError):
                self._stream.close()
        super().close()


@contextmanager
def _java_failures() -> Generator[None]:
    try:
        yield
    except Py4JJavaError as error:
        raise OSError(root_cause(error)) from error


def _unpacking(spark: SparkSession, stream: Any, compression: str) -> Any:
    """Java's stream of what is in a stream."""
    if compression == "zstd":  # As Spark does it; Hadoop's own needs a library of the system's.
        return java(spark).com.github.luben.zstd.ZstdInputStream(stream)
    hadoop = java(spark).org.apache.hadoop
    codecs_ = hadoop.io.compress.CompressionCodecFactory(java_context(spark).hadoopConfiguration())
    codec = codecs_.getCodec(hadoop.fs.Path(f"x{texts.SUFFIXES[compression]}"))
    return codec.createInputStream(stream)


def _open_java(spark: SparkSession, uri: str, compression: str | None) -> JavaStream:
    with _java_failures():
        system, path = locate(spark, uri)
        stream = system.open(path)
        if compression is None:
            return JavaStream(stream, is_seekable=True)
        return JavaStream(_unpacking(spark, stream, compression))


def _unpack_head(spark: SparkSession, head: bytes, compression: str) -> bytes:
    with _java_failures():
        stream = java(spark).java.io.ByteArrayInputStream(bytearray(head))
        return texts.beginning(JavaStream(_unpacking(spark, stream, compression)))


def _find_by_hadoop(spark: SparkSession, name: str, encoding: str | None) -> Found:
    """As texts.find, by Hadoop's FileSystem."""
    with about(name):
        system, path = locate(spark, name)
        if system.exists(path):
            roots = [path]
        else:
            roots = [status.getPath() for status in system.globStatus(path) or []]
        if not roots:
            raise TextError(name, "there is no such file or folder")
        found = Found()
        for root in roots:
            files = system.listFiles(root, True)
            while files.hasNext():
                status = files.next()
                _take_in(found, root.toString(), status.getPath().toString(), status.getLen())
    found.require_seen(name)

    def looked_at(text: Text) -> Text:
        try:
            with _open_java(spark, text.path, None) as stream:
                head = stream.read(texts.PACKED_HEAD)
                held = texts.holds(
                    head[: texts.HEAD],
                    text.path,
                    text.size,
                    encoding,
                    lambda compression: _unpack_head(spark, head, compression),
                )
        except OSError as error:
            raise TextError(text.name, f"cannot be read: {error}") from None
        return texts.judged(text, held)

    found.texts = list(texts.side_by_side(looked_at, found.texts))
    return found


def _take_in(found: Found, root: str, uri: str, size: int) -> None:
    """A file below a root, unless a part of its name is hidden."""
    inner = uri[len(root) :].strip("/")
    names = [os.path.basename(root), *inner.split("/")]
    for depth, name in enumerate(names):
        if name and texts.is_hidden(name):
            found.left_out["/".join([root, *names[1 : depth + 1]])] = texts.HIDDEN
            return
    found.texts.append(Text(uri, uri, inner, size))


# -- the input


class Input:
    """The texts that a name means: `found`, all of which can be counted.

    can_be_cut: no word has whitespace in it. `replaced`: bytes that were not in the encoding that
    their text was decoded from; known when `lines` is.
    """

    def __init__(
        self, spark: SparkSession, name: str, encoding: str | None, can_be_cut: bool
    ) -> None:
        self.spark = spark
        self.name = name
        self.replaced = 0
        self.names: dict[str, str] = {}  # by the path that Spark has
        local = local_path(spark, name)
        self.is_local = local is not None
        if local is None:
            self.found = _find_by_hadoop(spark, name, encoding)
        else:
            self.found = self._find(local, encoding)
        self._line = LINE if can_be_cut else LONGEST
        self._candidates = WHITE_SPACE if can_be_cut else "\n"
        self._separators = self._measure_all([t for t in self.found.texts if not t.encoding])

    def _find(self, name: str, encoding: str | None) -> Found:
        def unpack(head: bytes, compression: str) -> bytes:
            return _unpack_head(self.spark, head, compression)

        try:
            return texts.find(name, encoding, unpack)
        except TextError as error:
            foreign = names_in_java(self.spark)
            if foreign and "?" in name and "PYSPARK_GATEWAY_PORT" in os.environ:
                raise UserError(
                    f"{error}; spark-submit takes names as {foreign}: set LC_ALL=C.UTF-8"
                ) from None
            raise

    def _open(self, text: Text) -> io.BufferedIOBase:
        """What is in a file."""
        if not self.is_local and not text.path.startswith("/"):
            return _open_java(self.spark, text.path, text.compression)
        packed = texts.open_text(text.path)
        stream = texts.unpacked(packed, text.compression)
        if stream is not None:
            return stream
        packed.close()
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(text.path, f"{folder}/text")  # a name that Java can open
            return _open_java(self.spark, f"file://{folder}/text", text.compression)

    def tell(self) -> None:
        """Say what is counted, and what is not."""
        left_out = self.found.left_out
        hidden = list(left_out.values()).count(texts.HIDDEN)
        if hidden:
            say(f"{shown(self.name)}: {hidden} hidden files (names with _ or . first) are left out")
        for name in [name for name in left_out if left_out[name] != texts.HIDDEN][:NAMED]:
            say(f"{shown(name)}: left out: {left_out[name]}")
        number = len(self.found.texts)
        say(f"{shown(self.name)}: {number} {'file' if number == 1 else 'files'}")

    def summary(self, replaced: int) -> dict[str, Any]:
        """What a summary has to say beside the counts; nothing, if all was counted as it is."""
        said: dict[str, Any] = {"replacedBytes": replaced} if replaced else {}
        if left_out := self.found.left_out:
            names = {shown(name): left_out[name] for name in list(left_out)[:NAMED]}
            said["leftOut"] = {"count": len(left_out), "names": names}
        return said

    # Lines.

    def _measure_all(self, found: Sequence[Text]) -> dict[str, str]:
        """The separator of each text, by its path."""
        is_little = sum(text.size for text in found if text.compression) < UNPACKED_TO_MEASURE
        measured = texts.side_by_side(lambda text: self._measure(text, is_little), found)
        return {text.path: sep for text, sep in zip(found, measured, strict=True)}

    def _measure(self, text: Text, is_little: bool) -> str:
        """The separator of a text; "" where each whitespace has to be one."""
        line = self._line
        if not text.compression and text.size < 2 * line:
            return "\n"
        stride, places = line, PLACES
        if not text.compression:
            stride = max(line, text.size // PLACES)
            if not text.path.startswith("/"):
                stride = max(stride, LONGEST)
        elif not is_little:
            places = 1
        try:
            found = separator(lambda: self._open(text), stride, line, places, self._candidates)
        except (OSError, EOFError, texts.zlib.error):
            return "\n"  # Spark will tell what is wrong with it.
        if found is None and len(self._candidates) == 1:
            raise TextError(
                text.name,
                f"it has a line of more than {line} bytes; to be counted all the same it must be"
                " cut at whitespace, and this --pattern may want that in a word",
            )
        return found or ""

    # What Spark gets.

    @contextmanager
    def lines(self, output: Output) -> Generator[DataFrame]:
        """The lines (column `value`) of all texts. The output is there already."""
        local = os.path.join(output.local, _PASSING) if output.local else tempfile.mkdtemp()
        uri = f"{output.uri}/{_PASSING}"
        os.makedirs(local, exist_ok=True)
        try:
            given: dict[str, list[str]] = {}
            found = self._pack([text for text in self.found.texts if text.size], f"{local}/packed")
            for number, text in enumerate(found):
                passing, sep = self._passing(text, f"{local}/{number}")
                path = passing.path
                if path.startswith(f"{local}/"):
                    path = f"{uri}{path[len(local) :]}"
                elif path.startswith("/"):
                    path = f"file://{path}"
                self.names[re.sub("^file:/+", "/", path)] = text.name
                given.setdefault(sep, []).append(not_a_glob(path))
            if not output.local and os.listdir(local):
                fs = java(self.spark).org.apache.hadoop.fs
                output.system.copyFromLocalFile(fs.Path(f"file://{local}"), fs.Path(uri))
            yield self._read(given)
        finally:
            shutil.rmtree(local, ignore_errors=True)
            if not output.local:
                with suppress(Exception):
                    output.system.delete(java(self.spark).org.apache.hadoop.fs.Path(uri), True)

    def _read(self, given: dict[str, list[str]]) -> DataFrame:
        reader = self.spark.read
        frames = [
            reader.text(paths, lineSep=sep, recursiveFileLookup=True)
            for sep, paths in given.items()
        ]
        nothing = self.spark.range(0).select(F.lit("").alias("value"))
        return reduce(DataFrame.union, frames) if frames else nothing

    def _pack(self, found: Sequence[Text], place: str) -> list[Text]:
        """The texts, with one at that place instead of small ones, if these are many."""
        packed: list[Text] = []
        size = 0
        for text in found:
            is_plain = not text.encoding and not text.compression
            if is_plain and text.size <= texts.HEAD and size + text.size <= PACKED:
                packed.append(text)
                size += text.size
        if len(packed) <= MANY:
            return list(found)
        with open(place, "wb") as made:
            for content in texts.side_by_side(self._whole, packed):
                made.write(content)
            size = made.tell()
        gone = {text.path for text in packed}
        self._separators[place] = "\n"
        return [Text(self.name, place, "", size), *(t for t in found if t.path not in gone)]

    def _whole(self, text: Text) -> bytes:
        """All of a small text, as lines of a larger one."""
        try:
            with self._open(text) as stream:
                content = b"".join(_pieces(stream))
        except OSError as error:
            raise TextError(text.name, f"cannot be read: {error}") from None
        return content.removeprefix(codecs.BOM_UTF8) + b"\n"

    def _passing(self, text: Text, place: str) -> tuple[Text, str]:
        """What Spark is to read for a text, at that place if not where it is, and its separator."""
        if text.encoding:
            with self._open(text) as stream, open(place, "wb") as made:
                self.replaced += decoded(_pieces(stream), text.encoding, made.write)
            size = os.path.getsize(place)
            text = replace(text, path=place, size=size, compression=None, encoding=None)
            sep = self._measure(text, True)
        else:
            sep = self._separators[text.path]
        if not sep:
            with self._open(text) as stream, open(f"{place}.cut", "wb") as made:
                try:
                    cut(_pieces(stream), made.write)
                except UserError as error:
                    raise TextError(text.name, f"it has {error}") from None
            return replace(text, path=f"{place}.cut", compression=None), "\n"
        if text.compression == "zstd" and not _reads_zstd(self.spark):
            with self._open(text) as stream, open(f"{place}.unpacked", "wb") as made:
                made.writelines(_pieces(stream))
            return replace(text, path=f"{place}.unpacked", compression=None), sep
        suffix = texts.SUFFIXES.get(text.compression or "", "")
        if _is_plain_name(text.path, suffix, self.is_local):
            return text, sep
        if text.path.startswith("/"):
            os.symlink(text.path, place + suffix)
        else:
            self._fetch(text, place + suffix)
        return replace(text, path=place + suffix), sep

    def _fetch(self, text: Text, place: str) -> None:
        hadoop = java(self.spark).org.apache.hadoop
        conf = java_context(self.spark).hadoopConfiguration()
        system, path = locate(self.spark, text.path)
        here, target = locate(self.spark, f"file://{place}")
        with about(text.name):
            hadoop.fs.FileUtil.copy(system, path, here, target, False, conf)

    @contextmanager
    def faults(self) -> Generator[None]:
        """A task's failure in this block is the fault of the text that it was reading, if any."""
        try:
            yield
        except (Py4JJavaError, PySparkException) as error:
            for message in causes(error):
                # Spark names the file by its URI.
                if match := re.search(r"while reading file (\S+?)\.?\s", message):
                    path = unquote(match[1])
                    path = re.sub("^file:/+", "/", path)
                    why = root_cause(error)
                    if "FILE_NOT_EXIST" in message and "ermission" not in why:
                        why = "it has gone, or lies on no volume that every executor sees"
                    name = shown(self.names.get(path, path))
                    raise UserError(f"{name}: cannot be read: {why}") from error
            raise


def _reads_zstd(spark: SparkSession) -> bool:
    """Whether Spark unpacks it by itself; before 4.1 Hadoop does, by a library of the system's."""
    major, minor = map(int, spark.version.split(".")[:2])
    return (major, minor) >= (4, 1)


def _is_plain_name(path: str, suffix: str, is_local: bool) -> bool:
    """Whether Spark opens a file under its own name, and unpacks it as it is packed."""
    wrong = [s for s in texts.SUFFIXES.values() if s != suffix and path.endswith(s)]
    is_named = not wrong and path.endswith(suffix) and not path.endswith("._COPYING_")
    is_open = not is_local or _SAFE.fullmatch(path) is not None
    return is_named and is_open and not texts.is_hidden(path)
