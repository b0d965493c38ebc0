#!/usr/bin/env python3
r"""Count the words of texts with Spark.

    wordcount.py INPUT OUTPUT [--lowercase] [--pattern REGEX] [--top N] [--encoding NAME]

Run it with `spark-submit`, or plainly with `python` where pyspark is installed (then on all cores
of this machine). It imports modules beside it; where it is alone, --py-files names them.

A word is a maximal run of characters that are not whitespace; whitespace is Unicode's White_Space.
INPUT is a file, a folder (with all folders below it) or a glob, compressed (.gz, .bz2, .zst ...) or
not, on any file system that Hadoop knows; texts.py tells which files count, and what they may hold.
A line may be of any length; only a --pattern that may match whitespace has to have it in memory.

OUTPUT must not exist. It becomes a folder of:
    part-*.csv      rows `word,count` without a header, RFC 4180: the most frequent first, words of
                    one count in the order of their code points; the order goes on from part to part
    summary.json    {input, words, distinct, top: [{word, count}], seconds, sparkVersion}, and if
                    there were any: replacedBytes, of bytes that are not in the text's encoding,
                    for which U+FFFD stands; leftOut {count, names: {name: why}}, of files and
                    folders (ten names at most). Also the last line on stdout
    _SUCCESS        empty; made last of all, so a folder that has it is a whole result

Exit code 0: done. 2: the input, the output or an argument is wrong, said in one line on stderr.
1: anything else. Where it is not 0, nothing that was written stays; but all does where only stdout
took no line, which is said, and some may, without _SUCCESS, where a process of ours is killed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # however this file is loaded

import careful
from careful import Output, UserError, about, checked, progress, say, whole_number
from patterns import about_the_pattern, check_pattern, may_match_whitespace
from reading import Input, not_a_glob
from texts import encoding_name, shown

#: What counts as a word unless --pattern says otherwise.
WORD = r"\S+"

#: The one "word" of the counts that is none: its count is that of the bytes that are not UTF-8.
MARK = "\n"

#: What stands for such bytes.
REPLACEMENT = "\ufffd"

#: How many rows a summary may hold; they go through the driver's memory.
MOST_ROWS = 1_000_000


# -- arguments


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line (None: the process's own); UserError where it is wrong."""
    parser = careful.Parser(prog="wordcount.py", description="Count the words of texts with Spark.")
    parser.add_argument("input", help="a file, a folder or a glob; compressed or not")
    parser.add_argument("output", help="the folder to make; it must not exist")
    parser.add_argument("--lowercase", action="store_true", help="put the text in lower case first")
    parser.add_argument(
        "--pattern",
        default=WORD,
        metavar="REGEX",
        help=r"what is a word within a line: a Java regex with Unicode's classes (default: \S+)",
    )
    parser.add_argument(
        "--top",
        type=whole_number(0, MOST_ROWS),
        default=10,
        metavar="N",
        help="how many of the most frequent words go into the summary (default: 10)",
    )
    parser.add_argument(
        "--encoding",
        type=checked(encoding_name),
        metavar="NAME",
        help="of texts that have no mark of UTF-8, UTF-16 or UTF-32 (default: UTF-8)",
    )
    return parser.parse_args(argv)


# -- the count


def valid_utf8(text: Column) -> Column:
    """The text with U+FFFD for each ill-formed run, as by Python's decode(errors="replace")."""
    if hasattr(F, "make_valid_utf8"):
        return F.make_valid_utf8(text)
    # Before Spark 4.0 Java's decoder has to do it. It takes an encoded surrogate for one run, where
    # there are three: its first byte (ED, before A0 to BF) becomes one that begins nothing.
    raw = text.cast("binary")
    by_bytes = F.decode(raw, "ISO-8859-1")
    apart = F.regexp_replace(by_bytes, "\u00ed(?=[\u00a0-\u00bf])", "\u00ff")
    return F.decode(F.encode(apart, "ISO-8859-1"), "UTF-8")


def is_valid_utf8(text: Column) -> Column:
    """Whether a text has no ill-formed run."""
    return F.is_valid_utf8(text) if hasattr(F, "is_valid_utf8") else text == valid_utf8(text)


def bytes_not_utf8(line: Column) -> Column:
    """How many bytes of a line belong to no valid UTF-8 sequence.

    valid_utf8 puts U+FFFD (3 bytes) in. So: what the text lost, had those it gained not been.
    """

    def in_replacements(text: Column) -> Column:
        without = F.replace(text, F.lit(REPLACEMENT), F.lit(""))
        return F.octet_length(text) - F.octet_length(without)

    valid = valid_utf8(line)
    put_in = in_replacements(valid) - in_replacements(line)
    return F.octet_length(line) - (F.octet_length(valid) - put_in)


def lower_case(text: Column) -> Column:
    """By Unicode's rules; those of the executors' locale would make another word of TITLE."""
    if hasattr(F, "collate"):
        return F.collate(F.lower(F.collate(text, "UNICODE")), "UTF8_BINARY")
    # Before Spark 4.0 it is the locale's matter: what Turkish ones have of their own comes first.
    for upper, lower in (("I", "i"), ("\u0130", "i\u0307")):
        text = F.replace(text, F.lit(upper), F.lit(lower))
    return F.lower(text)


def count_words(lines: DataFrame, pattern: str = WORD, lowercase: bool = False) -> DataFrame:
    """Rows (word, count) of the lines' (column `value`) words, and a row of MARK if need be.

    The mark rides in the words' own pass and shuffle: valid text pays nothing for it, and unlike an
    accumulator it stays exact where Spark runs a task twice.
    """
    line = F.col("value")
    text = valid_utf8(line)
    if lowercase:
        text = lower_case(text)
    # (?U): \s, \w, \b ... are Unicode's; \s is then exactly White_Space.
    words = F.regexp_extract_all(text, F.lit(f"(?U){pattern}"), F.lit(0))
    marks = F.array_repeat(F.lit(MARK), bytes_not_utf8(line))
    found = F.when(is_valid_utf8(line), words).otherwise(F.concat(words, marks))
    return (
        lines.select(F.explode(found).alias("word"))
        # A pattern such as \w* matches nothing, too, and nothing is no word.
        .where(F.col("word") != "")
        .groupBy("word")
        .agg(F.count("*").alias("count"))
    )


def in_order(counts: DataFrame) -> DataFrame:
    """The most frequent first, then by word: Spark compares UTF-8 bytes, that is code points."""
    return counts.orderBy(F.desc("count"), F.asc("word"))


def write_csv(counts: DataFrame, folder: str) -> tuple[int, int, int]:
    """Write what count_words gave, in order, as CSV parts into an empty folder.

    Returns (words, distinct words, bytes that are not UTF-8), seen as the rows went by.
    """
    is_word = F.col("word") != MARK
    count = F.col("count")
    seen = Observation()
    rows = in_order(counts).observe(
        seen,
        F.sum(F.when(is_word, count)).alias("words"),
        F.count_if(is_word).alias("distinct"),
        F.sum(F.when(~is_word, count)).alias("bad_bytes"),
    )
    # No _SUCCESS from Spark: it would be there before the summary is.
    writer = rows.where(is_word).write.mode("append").option("compression", "none")
    writer = writer.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
    # Every reader of RFC 4180 gets each word back unchanged: quotes are doubled, and nothing is
    # trimmed (Spark's default takes U+0000 to U+0020 off both ends).
    writer.csv(
        folder,
        escape='"',
        ignoreLeadingWhiteSpace=False,
        ignoreTrailingWhiteSpace=False,
        lineSep="\n",
    )
    # A sum over no rows is None.
    words, distinct, bad_bytes = (
        seen.get[name] or 0 for name in ("words", "distinct", "bad_bytes")
    )
    return words, distinct, bad_bytes


def from_csv(lines: DataFrame) -> DataFrame:
    """Rows (word, count) from the lines (column `value`) of a part.

    Not by Spark's own CSV reader: it loses U+0000 next to a quote.
    """
    line = F.col("value")
    count = F.substring_index(line, ",", -1)
    field = line.substr(F.lit(1), F.length(line) - F.length(count) - 1)
    unquoted = F.replace(field.substr(F.lit(2), F.length(field) - 2), F.lit('""'), F.lit('"'))
    word = F.when(field.startswith('"'), unquoted).otherwise(field)
    return lines.select(word.alias("word"), count.cast("long").alias("count"))


def first_rows(spark: SparkSession, parts: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """The first rows of sorted parts as [{word, count}], from as few parts as hold them."""
    rows: list[dict[str, Any]] = []
    for part in parts:
        if len(rows) >= limit:
            break
        read = from_csv(spark.read.text(not_a_glob(part), lineSep="\n"))
        rows += [row.asDict() for row in in_order(read).limit(limit - len(rows)).collect()]
    return rows


def run(spark: SparkSession, args: argparse.Namespace, started: float) -> str:
    """Count, write the output, and give the summary as a line of JSON.

    `started` is the time.monotonic() that `seconds` counts from.
    """
    check_pattern(spark, args.pattern)
    input_ = Input(spark, args.input, args.encoding, not may_match_whitespace(args.pattern))
    input_.tell()
    output = Output(spark, args.output)
    with output.made():
        guarded = input_.faults(), about_the_pattern(args.pattern)
        with input_.lines(output) as lines, progress(spark, "counting"), guarded[0], guarded[1]:
            counts = count_words(lines, args.pattern, args.lowercase)
            words, distinct, bad_bytes = write_csv(counts, output.uri)
        bad_bytes += input_.replaced
        if bad_bytes:
            what = f"{bad_bytes} bytes are not {args.encoding or 'UTF-8'}"
            say(f"{shown(args.input)}: {what}; U+FFFD was put in their place")
        with about(args.output):
            parts = output.parts()
            if not parts:
                raise UserError(f"{args.output}: it lies on no volume that every executor sees")
            summary = {
                "input": args.input,
                "words": words,
                "distinct": distinct,
                "top": first_rows(spark, parts, args.top),
                "seconds": round(time.monotonic() - started, 3),
                "sparkVersion": spark.version,
                **input_.summary(bad_bytes),
            }
            line = json.dumps(summary)
            output.write("summary.json", f"{line}\n")
            output.write("_SUCCESS")
    say(f"{words} words, {distinct} of them distinct, in {shown(args.output)}")
    return line


def main(argv: Sequence[str] | None = None, spark: SparkSession | None = None) -> int:
    """The program; the exit code. A session that is given is used and not stopped."""
    started = time.monotonic()
    return careful.run(
        "WordCount",
        lambda: parse_args(argv),
        lambda session, args: run(session, args, started),
        spark,
    )


if __name__ == "__main__":
    sys.exit(main())
