"""wordcount.py against collections.Counter and the definition of a word, within one session."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import reading
import texts
import wordcount
from careful import java, java_context
from pyspark.sql import DataFrame, SparkSession

#: Unicode's White_Space property (PropList.txt), all of it.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B)))
WHITE_SPACE += "\u2028\u2029\u202f\u205f\u3000"

#: What one may take for whitespace; none has the property.
NOT_WHITE_SPACE = "\x00\x1b\x1c\x1d\x1e\x1f\u180e\u200b\u200c\u200d\u2060\ufeff\u2800\u3164"


def words_of(text: str) -> list[str]:
    """The definition: maximal runs of characters that are not White_Space."""
    return re.findall(f"[^{WHITE_SPACE}]+", text)


class Outcome(NamedTuple):
    """What a run gave: the rows in the order of the parts, the summary, and its stderr."""

    rows: list[tuple[str, int]]
    summary: dict
    stderr: str


def read_rows(folder: Path) -> list[tuple[str, int]]:
    """The parts' rows by Python's csv reader."""
    rows = []
    csv.field_size_limit(10_000_000)  # One text has a word of 3 MB.
    for part in sorted(folder.glob("part-*.csv")):
        with part.open(encoding="utf-8", newline="") as lines:
            rows += [(word, int(count)) for word, count in csv.reader(lines)]
    return rows


@pytest.fixture
def run(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Call wordcount.py on an input; it has to succeed."""

    def call(source: Path | str, *options: str) -> Outcome:
        output = tmp_path / "out"
        code = wordcount.main([str(source), str(output), *options], spark)
        stdout, stderr = capsys.readouterr()
        assert code == 0, stderr
        assert (output / "_SUCCESS").read_bytes() == b""
        assert (output / "summary.json").read_text() == stdout.splitlines()[-1] + "\n"
        assert not list(output.glob("_temporary*"))
        return Outcome(read_rows(output), json.loads(stdout), stderr)

    return call


def expect(outcome: Outcome, words: list[str], **said: object) -> None:
    """The outcome is exactly these words' count, in order, and the summary agrees.

    said: what the summary says beside them.
    """
    wanted = sorted(Counter(words).items(), key=lambda row: (-row[1], row[0]))
    assert outcome.rows == wanted
    summary = outcome.summary
    assert summary["words"] == len(words)
    assert summary["distinct"] == len(wanted)
    assert summary["top"] == [{"word": w, "count": n} for w, n in wanted[: len(summary["top"])]]
    always = {"input", "words", "distinct", "top", "seconds", "sparkVersion"}
    assert {key: summary[key] for key in summary.keys() - always} == said


# -- words

TEXTS = {
    "plain": "the cat the dog\nthe end\n",
    "no final newline": "one two\ntwo",
    "CR LF": "one two\r\ntwo three\r\n\r\n",
    "lone CR": "one\rtwo\rone",
    "empty lines": "\n\n \n\t\none\n\n\none\n",
    "empty": "",
    "only whitespace": WHITE_SPACE * 3,
    "each whitespace": "".join(f"a{space}b" for space in WHITE_SPACE),
    "no whitespace": " ".join(f"a{c}b {c} {c}{c}a" for c in NOT_WHITE_SPACE),
    "case": "The the THE Straße STRASSE",
    "beyond the BMP": "😀 😀😀 𝒳 a😀 😀",
    "composed or not": "e\u0301 \u00e9 e\u0301",
    "csv": 'a,b "q" "" " a" \\ \\" a\\ #x # , ,, \' =1+1 "a,b"',
    "order": "b a B Ä ä z 😀 \ufffd \uffff a1 a10 a2 😀",
    "long word": "x" * 3_000_000 + " y",
    "long line": "lorem ipsum dolor " * 300_000,
    "U+FFFD in the text": "\ufffd a\ufffd \ufffd",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_words(text: str, run: Callable[..., Outcome], tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_bytes(text.encode())
    outcome = run(source)
    expect(outcome, words_of(text))
    assert "not UTF-8" not in outcome.stderr
    assert outcome.summary["input"] == str(source)


@pytest.mark.parametrize("seed", range(3))
def test_random_texts(seed: int, run: Callable[..., Outcome], tmp_path: Path) -> None:
    rnd = random.Random(seed)
    letters = "abcABÄßé,\"\\'#😀漢" + NOT_WHITE_SPACE
    spaces = WHITE_SPACE + "\r\n" * 3 + " " * 30
    text = "".join(rnd.choice(letters if rnd.random() < 0.7 else spaces) for _ in range(60_000))
    source = tmp_path / "text.txt"
    source.write_bytes(text.encode())
    expect(run(source, "--top", "100000"), words_of(text))


def test_whitespace_is_exactly_white_space(spark: SparkSession, tmp_path: Path) -> None:
    """Every code point there is: those that part a word in two are Unicode's White_Space."""
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and c != ord("\n")]
    (tmp_path / "points").write_bytes("".join(f"{c}x\n" for c in points).encode())
    lines = spark.read.text(str(tmp_path / "points"), lineSep="\n")
    counts = wordcount.count_words(lines)
    words, alone = counts.selectExpr("count(*)", "max_by(count, word = 'x')").collect()[0]
    assert alone == len(WHITE_SPACE) - len("\n")
    assert words == len(points) - alone + len(["x"])


# -- bytes that are not UTF-8


@pytest.fixture
def spark_3(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As Spark 3.5: without these functions, and with a decoder that does not fail."""
    for name in ("make_valid_utf8", "is_valid_utf8", "collate"):
        monkeypatch.delattr(wordcount.F, name)
    spark.conf.set("spark.sql.legacy.codingErrorAction", "true")
    yield
    spark.conf.unset("spark.sql.legacy.codingErrorAction")


def test_bytes_that_are_not_utf8(run: Callable[..., Outcome], tmp_path: Path) -> None:
    raw = b"ok \xff\xfe a\xc3 \xe2\x82 b\n\xed\xa0\x80 \xf0\x9f\x98\x80 \xef\xbf\xbd\nok\n"
    source = tmp_path / "text.txt"
    source.write_bytes(raw)
    outcome = run(source)
    expect(outcome, words_of(raw.decode("utf-8", "replace")), replacedBytes=8)
    assert f"{source}: 8 bytes are not UTF-8" in outcome.stderr


def bad_bytes(raw: bytes) -> int:
    """How many bytes are in no valid sequence: what Python's strict decoder points at."""
    bad = start = 0
    while start < len(raw):
        try:
            raw[start:].decode()
            break
        except UnicodeDecodeError as error:
            bad += error.end - error.start
            start += error.end
    return bad


def test_random_bytes(run: Callable[..., Outcome], tmp_path: Path) -> None:
    rnd = random.Random(7)
    leads = b"\xc0\xc2\xe0\xe2\xed\xef\xf0\xf4\xf5\x80\x9f\xa0\xbf\xbd\x8f\x90 \n\nab"
    raw = bytes(
        rnd.choice(leads) if rnd.random() < 0.8 else rnd.randrange(256) for _ in range(40_000)
    )
    source = tmp_path / "text.bin"
    source.write_bytes(raw)
    outcome = run(source, "--top", "3")
    # Lines are decoded one by one, and no sequence goes over a line's end.
    bad = sum(map(bad_bytes, raw.split(b"\n")))
    expect(outcome, words_of(raw.decode("utf-8", "replace")), replacedBytes=bad)
    assert f"{source}: {bad} bytes are not UTF-8" in outcome.stderr


@pytest.mark.usefixtures("spark_3")
def test_random_bytes_are_the_same_to_spark_3(run: Callable[..., Outcome], tmp_path: Path) -> None:
    test_random_bytes(run, tmp_path)


# -- options


@pytest.fixture
def turkish(spark: SparkSession) -> Iterator[None]:
    """A JVM of somebody who set -Duser.language=tr."""
    locale = java(spark).java.util.Locale
    before = locale.getDefault()
    locale.setDefault(locale.forLanguageTag("tr"))
    yield
    locale.setDefault(before)


@pytest.mark.usefixtures("turkish")
def test_lowercase_is_the_same_on_every_machine(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    text = "The the THE TITLE I İ ı i Straße ÄÖ ΑΣ ΣΑ\nTITLE\n"
    source = tmp_path / "text.txt"
    source.write_text(text)
    expect(run(source, "--lowercase"), words_of(text.lower()))


@pytest.mark.usefixtures("turkish", "spark_3")
def test_lowercase_is_the_same_to_spark_3(run: Callable[..., Outcome], tmp_path: Path) -> None:
    test_lowercase_is_the_same_on_every_machine(run, tmp_path)


@pytest.mark.parametrize("pattern", [r"\w+", r"[^,\r]+", r"\w*", r"(?<=e)\w", "a|b", r"\d{2}"])
def test_pattern(pattern: str, run: Callable[..., Outcome], tmp_path: Path) -> None:
    text = 'naïve, the "café" 2024\r\nüber a,b\n\n'
    source = tmp_path / "text.txt"
    source.write_bytes(text.encode())
    words = [word for line in text.split("\n") for word in re.findall(pattern, line) if word]
    expect(run(source, "--pattern", pattern), words)


def test_lowercase_comes_before_the_pattern(run: Callable[..., Outcome], tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_text("The tHe END")
    expect(run(source, "--lowercase", "--pattern", "[a-z]+"), ["the", "the", "end"])


@pytest.mark.parametrize("top", [0, 2, 5])
def test_top(top: int, run: Callable[..., Outcome], tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_text("a a a b b c")
    outcome = run(source, "--top", str(top))
    expect(outcome, list("aaabbc"))
    assert len(outcome.summary["top"]) == min(top, 3)


def test_many_parts_are_in_one_order(
    spark: SparkSession, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Many distinct words, without Spark's merging of small parts: order holds over the parts."""
    rnd = random.Random(3)
    words = [f"w{rnd.randrange(3000)}" for _ in range(20_000)]
    source = tmp_path / "text.txt"
    source.write_text(" ".join(words))
    spark.conf.set("spark.sql.adaptive.coalescePartitions.enabled", False)
    try:
        outcome = run(source, "--top", "1500")
    finally:
        spark.conf.unset("spark.sql.adaptive.coalescePartitions.enabled")
    assert len(list((tmp_path / "out").glob("part-*.csv"))) > 2
    expect(outcome, words)


# -- inputs


def test_folder_with_folders_hidden_and_compressed_files(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    folder = tmp_path / "in put"
    (folder / "below" / "year=2026").mkdir(parents=True)
    (folder / "a.txt").write_text("plain word")
    (folder / "b.txt.gz").write_bytes(gzip.compress(b"gz word\n"))
    (folder / "below" / "c.bz2").write_bytes(bz2.compress(b"bz2 word"))
    (folder / "below" / "year=2026" / "d").write_text("deep word")
    (folder / "empty").touch()
    (folder / ".hidden").write_text("no")
    (folder / "_hidden").write_text("no")
    outcome = run(folder)
    why = "hidden: the name starts with _ or ."
    names = {f"{folder}/_hidden": why, f"{folder}/.hidden": why}
    words = ["plain", "word", "gz", "word", "bz2", "word", "deep", "word"]
    expect(outcome, words, leftOut={"count": 2, "names": names})
    assert f"{folder}: 5 files" in outcome.stderr
    assert "2 hidden files" in outcome.stderr


def test_many_small_files_are_read_as_one(
    run: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none of them is another's: not its last word, its broken character, its mark."""
    monkeypatch.setattr(reading, "MANY", 3)
    folder = tmp_path / "in"
    folder.mkdir()
    small = [b"\xef\xbb\xbfone two", b"\xef\xbb\xbfone\n", b"caf\xc3", b"\xa9 two\r\n"]
    for number, content in enumerate([*small, gzip.compress(b"packed"), b""]):
        (folder / str(number)).write_bytes(content)
    (folder / "large").write_bytes(b"large " * texts.HEAD)
    (folder / "marked").write_bytes("marked".encode("utf-16"))
    read: list[str] = []
    count = wordcount.count_words

    def counting(lines: DataFrame, *args: Any) -> DataFrame:
        read.extend(os.path.basename(name) for name in lines.inputFiles())
        return count(lines, *args)

    monkeypatch.setattr(wordcount, "count_words", counting)
    words = ["one", "two", "one", "caf\ufffd", "\ufffd", "two", "packed", "marked"]
    expect(run(folder), words + ["large"] * texts.HEAD, replacedBytes=2)
    assert sorted(read) == ["1.gz", "3", "large", "packed"]  # what is decoded is the third


def test_every_name_is_counted(run: Callable[..., Outcome], tmp_path: Path) -> None:
    """Names that Spark can't open, or would take for something else, beside those that it can."""
    folder = tmp_path / "in:1 {a}"
    (folder / "below\n").mkdir(parents=True)
    names = [
        *("plain", "2026-01-01T10:00:00.txt", "bücher", os.fsdecode(b"caf\xe9"), "x._COPYING_"),
        *("below\n/new\nline", "100%25", "[a]*?{b}\\", "a b", "a#b", "packed.GZ", "packed.txt"),
    ]
    for name in names:
        text = f"word {names.index(name)}\n".encode()
        (folder / name).write_bytes(gzip.compress(text) if "packed" in name else text)
    os.symlink(folder / "plain", folder / "link")
    os.symlink(".", folder / "loop")
    why = "a link back to a folder that it lies in"
    outcome = run(folder)
    words = ["word"] * 13 + [str(number) for number in range(12)] + ["0"]
    expect(outcome, words, leftOut={"count": 1, "names": {f"{folder}/loop": why}})
    assert f"{folder}/loop: left out: {why}" in outcome.stderr
    assert {path.name for path in (tmp_path / "out").iterdir() if path.name[0] == "."} <= {
        f".{path.name}.crc" for path in (tmp_path / "out").iterdir()
    }


ENCODED = "Der Zürcher\u3000Käse,\u2028größer größer 😀\n€ \x85x"


def test_marked_texts_are_decoded(run: Callable[..., Outcome], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    encodings = ("utf-8-sig", "utf-16", "utf-32")
    for encoding in encodings:
        (folder / encoding).write_bytes(ENCODED.encode(encoding))
        (folder / f"{encoding}.gz").write_bytes(gzip.compress(ENCODED.encode(encoding)))
        (folder / f"{encoding}.empty").write_bytes("".encode(encoding))
    (folder / "big").write_bytes(b"\xfe\xff" + ENCODED.encode("utf-16-be"))
    (folder / "odd").write_bytes(ENCODED.encode("utf-16") + b"x")
    words = words_of(ENCODED) * 7 + words_of(f"{ENCODED}\ufffd")
    expect(run(folder), words, replacedBytes=1)


def test_encoding(run: Callable[..., Outcome], tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_bytes("Käse größer \xa0 x\x85y\n".encode("latin-1"))
    expect(run(source, "--encoding", "latin1"), ["Käse", "größer", "x", "y"])


def test_bytes_that_are_not_in_the_encoding(run: Callable[..., Outcome], tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_bytes("日本 ".encode("shift-jis") + b"\xfd\xff x")
    outcome = run(source, "--encoding", "Shift_JIS")
    expect(outcome, ["日本", "\ufffd\ufffd", "x"], replacedBytes=2)
    assert "2 bytes are not shift_jis" in outcome.stderr


@pytest.mark.parametrize("version", [None, "4.0.5"])
def test_packed_by_what_python_does_not_know(
    version: str | None,
    spark: SparkSession,
    run: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if version:  # of a Spark that does not know zstd
        monkeypatch.setattr(SparkSession, "version", version)
    (tmp_path / "in").mkdir()
    for compression, suffix in texts.SUFFIXES.items():
        for name, text in ((f"a{suffix}", b"word\n"), (f"b{suffix}", "wörd".encode("utf-16"))):
            pack(spark, tmp_path / "in" / name, compression, text)
    pack(spark, tmp_path / "in" / "without", "zstd", b"word")
    number = len(texts.SUFFIXES)
    expect(run(tmp_path / "in"), ["word"] * (number + 1) + ["wörd"] * number)


def pack(spark: SparkSession, file: Path, compression: str, content: bytes) -> None:
    """As Hadoop packs, and zstd's own library."""
    jvm = java(spark)
    stream = jvm.java.io.FileOutputStream(str(file))
    if compression == "zstd":
        packing = jvm.com.github.luben.zstd.ZstdOutputStream(stream)
    else:
        hadoop = jvm.org.apache.hadoop
        conf = java_context(spark).hadoopConfiguration()
        codecs = hadoop.io.compress.CompressionCodecFactory(conf)
        codec = codecs.getCodec(hadoop.fs.Path(f"x{texts.SUFFIXES[compression]}"))
        packing = codec.createOutputStream(stream)
    packing.write(bytearray(content))
    packing.close()


LONG_LINES = {
    "spaces": "the cat " * 9000,
    "tabs": "the\tcat\t" * 9000,
    "of Japan": "日本\u3000語" * 9000,
    "spaces, then lines": "the cat " * 9000 + "word\n" * 9000,
    "in another encoding": "the cät " * 9000,
    "packed": "the cat " * 9000,
}


@pytest.mark.parametrize("what", LONG_LINES)
def test_a_line_is_cut(
    what: str, run: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cuts it is that Spark gets no line of more than a few times LINE."""
    monkeypatch.setattr(reading, "LINE", 4096)
    text = LONG_LINES[what]
    packed = gzip.compress(text.encode()) if what == "packed" else text.encode()
    source = tmp_path / "text"
    source.write_bytes(text.encode("utf-16") if "encoding" in what else packed)
    longest = []
    count = wordcount.count_words

    def counting(lines: DataFrame, *args: Any) -> DataFrame:
        longest.extend(lines.selectExpr("max(octet_length(value))").collect()[0])
        return count(lines, *args)

    monkeypatch.setattr(wordcount, "count_words", counting)
    expect(run(source), words_of(text))
    assert longest[0] < 3 * 4096


def test_empty_folder(run: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    expect(run(tmp_path / "in"), [])


def test_glob(run: Callable[..., Outcome], tmp_path: Path) -> None:
    for name in ("a1.txt", "a2.txt", "b1.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "a3.txt").mkdir()
    (tmp_path / "a3.txt" / "inner").write_text("inner")
    expect(run(tmp_path / "a*.txt"), ["a1.txt", "a2.txt", "inner"])


def test_a_name_that_exists_is_no_glob(run: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "a[1]{b}*?.txt").write_text("this one")
    (tmp_path / "a1.txt").write_text("not this")
    expect(run(tmp_path / "a[1]{b}*?.txt"), ["this", "one"])


def test_uri(run: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("by uri")
    expect(run(f"file://{tmp_path}/a.txt"), ["by", "uri"])


def test_output_in_folders_that_are_not_there_yet(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("b b a")
    output = tmp_path / "new one" / "deep[er]" / "out"
    assert wordcount.main([str(tmp_path / "a.txt"), str(output)], spark) == 0
    assert read_rows(output) == [("b", 2), ("a", 1)]
    assert json.loads(capsys.readouterr().out)["top"][0] == {"word": "b", "count": 2}


# -- errors: one line that names what is wrong, exit code 2, nothing written


@pytest.fixture
def refused(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Call wordcount.py; it has to give exit code 2 and leave all as it was. Its last line."""

    def call(*args: Path | str) -> str:
        before = sorted(tmp_path.rglob("*"))
        code = wordcount.main([str(arg) for arg in args], spark)
        stdout, stderr = capsys.readouterr()
        assert (code, stdout) == (2, "")
        assert sorted(tmp_path.rglob("*")) == before
        # Before it, at most: what is read, and that it is counted.
        *before_it, line = stderr.splitlines()
        assert all(re.search(r": \d+ (hidden )?files?|: counting$", other) for other in before_it)
        return line.removeprefix("wordcount: ")

    return call


def test_missing_input(refused: Callable[..., str], tmp_path: Path) -> None:
    for name in ("nothing", "nothing*", "nothing/below"):
        line = refused(tmp_path / name, tmp_path / "out")
        assert line == f"{tmp_path / name}: there is no such file or folder"


def test_output_exists(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "out").mkdir()
    for output in (tmp_path / "out", tmp_path / "a.txt"):
        assert refused(tmp_path / "a.txt", output) == f"{output}: it exists already"


def test_output_below_a_file(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    output = tmp_path / "a.txt" / "out"
    assert refused(tmp_path / "a.txt", output).startswith(f"{output}: ")


@pytest.mark.parametrize("damage", ["cut", "no gzip", "flipped"])
def test_damaged_file_in_the_middle(
    damage: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "in put"
    folder.mkdir()
    good = gzip.compress(random.Random(1).randbytes(100_000).hex().encode())
    bad = {"cut": good[:70_000], "no gzip": b"text", "flipped": good[:-6] + b"\0" * 6}[damage]
    for number in range(8):
        (folder / f"{number}.txt").write_text("fine " * 1000)
    (folder / "5.txt.gz").write_bytes(bad)
    line = refused(folder, tmp_path / "new" / "out")
    assert line.startswith(f"{folder}/5.txt.gz: cannot be read: ")


def test_what_is_no_text(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("fine")
    (tmp_path / "in" / "b.docx").write_bytes(b"PK\x03\x04" + bytes(100))
    line = refused(tmp_path / "in", tmp_path / "out")
    assert line.startswith(f"{tmp_path}/in/b.docx: it is a zip archive")


def test_an_archive_within_zstd(
    spark: SparkSession, refused: Callable[..., str], tmp_path: Path
) -> None:
    pack(spark, tmp_path / "a.zst", "zstd", b"PK\x03\x04" + bytes(100))
    line = refused(tmp_path / "a.zst", tmp_path / "out")
    assert line.startswith(f"{tmp_path}/a.zst: it is a zip archive")
    assert line.endswith(", within zstd")


def test_a_pipe(refused: Callable[..., str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe: it is a pipe" in refused(tmp_path / "pipe", tmp_path / "out")


def test_a_word_that_is_too_long_for_a_pattern(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 120_000)
    pattern = r"(?:\w|-)+"
    line = refused(tmp_path / "a.txt", tmp_path / "out", "--pattern", pattern)
    assert line.startswith(f"--pattern {pattern}: a word of this text is too long for Java")


def test_a_line_that_must_not_be_cut(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST", 4096)
    (tmp_path / "a.txt").write_text("the cat " * 9000)
    line = refused(tmp_path / "a.txt", tmp_path / "out", "--pattern", "[^,]+")
    assert line.startswith(f"{tmp_path}/a.txt: it has a line of more than 4096 bytes")


def test_a_word_without_an_end(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LINE", 4096)
    monkeypatch.setattr(reading.cut, "__defaults__", (8192,))
    (tmp_path / "a.txt").write_text("x" * 20_000)
    line = refused(tmp_path / "a.txt", tmp_path / "out")
    assert line == f"{tmp_path}/a.txt: it has more than 8192 bytes without whitespace"


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "\\", "(?<n>a)(?<n>b)"])
def test_bad_regex(pattern: str, refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    line = refused(tmp_path / "a.txt", tmp_path / "out", "--pattern", pattern)
    assert line.startswith(f"--pattern {pattern}: ")


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["in"], "output"),
        (["in", "out", "--top", "-1"], "--top"),
        (["in", "out", "--top", "many"], "'many'"),
        (["in", "out", "--top", "3000000000"], "from 0 to 1000000"),
        (["in", "out", "--top", "9" * 5000], "from 0 to 1000000"),
        (["in", "out", "--encoding", "klingon"], "'klingon' is no encoding"),
        (["in", "out", "--encoding", "rot13"], "'rot13' is no encoding"),
        (["in", "out", "--upper"], "--upper"),
        (["", "out"], "empty string"),
        (["a:b", "out"], "a:b"),
        (["nosuchscheme://host/in", "out"], '"nosuchscheme"'),
        (["/tmp/{a", "out"], "/tmp/{a"),
    ],
)
def test_bad_arguments(args: list[str], named: str, refused: Callable[..., str]) -> None:
    assert named in refused(*args)


def test_hidden_input(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "_notes.txt").write_text("a")
    line = refused(tmp_path / "_notes.txt", tmp_path / "out")
    assert line.startswith(f"{tmp_path / '_notes.txt'}: ") and "hidden" in line
