#!/usr/bin/env python3
r"""Count the words of texts with Spark.

    wordcount.py INPUT OUTPUT [--lowercase] [--pattern REGEX] [--top N]

Run it with `spark-submit`, or plainly with `python` where pyspark is installed (then on all cores
of this machine).

A word is a maximal run of characters that are not whitespace; whitespace is Unicode's White_Space.
INPUT is a file, a folder (with all folders below it) or a glob, compressed (.gz, .bz2, .zst ...) or
not, on any file system that Hadoop knows. Names that start with "_" or "." are hidden: they are
left out, and how many is said. Lines end at "\n"; one line has to fit into a task's memory.

OUTPUT must not exist. It becomes a folder of:
    part-*.csv      rows `word,count` without a header, RFC 4180: the most frequent first, words of
                    one count in the order of their code points; the order goes on from part to part
    summary.json    {input, words, distinct, top: [{word, count}], seconds, sparkVersion};
                    also the last line on stdout
    _SUCCESS        empty; made last of all, so a folder that has it is a whole result

Exit code 0: done. 2: the input, the output or an argument is wrong, said in one line on stderr.
1: anything else. Where it is not 0, nothing that was written stays; only where Spark's own process
is killed a folder may, without _SUCCESS and summary.json.

Only pyspark and the standard library, Python 3.10: this file goes into a cluster by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Generator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import unquote

from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

#: What counts as a word unless --pattern says otherwise.
WORD = r"\S+"

#: The one "word" of the counts that is none: its count is that of the bytes that are not UTF-8.
#: Lines end at "\n", so no word can hold one.
MARK = "\n"

#: What stands for bytes that are not UTF-8.
REPLACEMENT = "\ufffd"

#: These log stack traces of what ends, once, in this program's own line.
TRACES = (
    "org.apache.spark.executor.Executor",
    "org.apache.spark.scheduler.TaskSetManager",
    "org.apache.spark.sql.execution.datasources.FileFormatWriter",
)

#: Seconds from one line of progress to the next.
PROGRESS_EVERY = 5.0

#: Seconds that tasks get to end after a failure, before what they wrote is taken away.
TASKS_END_WITHIN = 15.0


class UserError(Exception):
    """The input, the output or an argument is wrong; the message names it. Exit code 2."""


class Stopped(BaseException):
    """SIGTERM. As KeyboardInterrupt, no Exception: only main may take it for handled."""


def say(message: str) -> None:
    """One line on stderr."""
    line = f"wordcount: {' '.join(message.split())}"
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        # spark-submit started this Python and sends its stderr to stdout: go by the JVM's own.
        with suppress(Exception):
            SparkContext._ensure_initialized()
            jvm: Any = SparkContext._jvm
            jvm.System.err.println(line)
            return
    print(line, file=sys.stderr, flush=True)


# -- arguments


class Parser(argparse.ArgumentParser):
    """argparse, with its errors in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def from_zero(text: str) -> int:
    """argparse type: a number from 0 on."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line (None: the process's own); UserError where it is wrong."""
    parser = Parser(prog="wordcount.py", description="Count the words of texts with Spark.")
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
        type=from_zero,
        default=10,
        metavar="N",
        help="how many of the most frequent words go into the summary (default: 10)",
    )
    return parser.parse_args(argv)


# -- the count


def bytes_not_utf8(line: Column) -> Column:
    """How many bytes of a line belong to no valid UTF-8 sequence.

    make_valid_utf8 puts one U+FFFD (3 bytes) for each ill-formed run, as Python's
    decode(errors="replace") does. So: what the text lost, had those it gained not been put in.
    """

    def in_replacements(text: Column) -> Column:
        without = F.replace(text, F.lit(REPLACEMENT), F.lit(""))
        return F.octet_length(text) - F.octet_length(without)

    valid = F.make_valid_utf8(line)
    put_in = in_replacements(valid) - in_replacements(line)
    return F.octet_length(line) - (F.octet_length(valid) - put_in)


def count_words(lines: DataFrame, pattern: str = WORD, lowercase: bool = False) -> DataFrame:
    """Rows (word, count) of the lines' (column `value`) words, and a row of MARK if need be.

    The mark rides in the words' own pass and shuffle: valid text pays nothing for it, and unlike an
    accumulator it stays exact where Spark runs a task twice.
    """
    line = F.col("value")
    text = F.make_valid_utf8(line)
    if lowercase:
        text = F.lower(text)
    # (?U): \s, \w, \b ... are Unicode's; \s is then exactly White_Space.
    words = F.regexp_extract_all(text, F.lit(f"(?U){pattern}"), F.lit(0))
    marks = F.array_repeat(F.lit(MARK), bytes_not_utf8(line))
    found = F.when(F.is_valid_utf8(line), words).otherwise(F.concat(words, marks))
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


# -- files, by Hadoop's FileSystem: one way for local paths, s3a:// and hdfs://


def not_a_glob(name: str) -> str:
    """A path in which Spark's readers take no character for a wildcard."""
    return re.sub(r"([\\{}\[\]*?])", r"\\\1", name)


class Files:
    """What this program asks of file systems. A `name` is a path or URI as its user wrote it."""

    def __init__(self, spark: SparkSession) -> None:
        self.jvm = java(spark)
        self.conf = java_context(spark).hadoopConfiguration()

    def locate(self, name: str) -> tuple[Any, Any]:
        """(FileSystem, Path) of a name."""
        path = self.jvm.org.apache.hadoop.fs.Path(name)
        return path.getFileSystem(self.conf), path

    def matches(self, name: str) -> tuple[str, list[Any]]:
        """What Spark's reader is to be given for a name, and the Paths that it means.

        A name that exists is never taken for a glob, whatever characters it has.
        """
        system, path = self.locate(name)
        if system.exists(path):
            return not_a_glob(name), [path]
        return name, [status.getPath() for status in system.globStatus(path) or []]

    def count(self, path: Any) -> int:
        """How many files are at or below a Path, hidden ones too."""
        return path.getFileSystem(self.conf).getContentSummary(path).getFileCount()

    def missing(self, name: str) -> list[Any]:
        """The Paths that are to be made for a folder that must not exist, itself first."""
        system, path = self.locate(name)
        if system.exists(path):
            raise UserError(f"{name}: it exists already")
        missing = []
        while path is not None and not system.exists(path):
            missing.append(path)
            path = path.getParent()
        return missing

    def make(self, missing: list[Any]) -> None:
        """Make a folder, and those above it, that `missing` told."""
        if not missing[0].getFileSystem(self.conf).mkdirs(missing[0]):
            raise UserError(f"{missing[0].toUri().getPath()}: it cannot be made")

    def unmake(self, made: list[Any]) -> None:
        """Remove the folder that was made, and those above it that hold nothing else."""
        system = made[0].getFileSystem(self.conf)
        system.delete(made[0], True)
        with suppress(Py4JJavaError):  # What is not empty has become somebody else's, too.
            for parent in made[1:]:
                system.delete(parent, False)

    def parts(self, folder: str) -> list[str]:
        """The URIs of a folder's part-* files, in their order."""
        system, path = self.locate(folder)
        found = [status.getPath() for status in system.listStatus(path)]
        return sorted(p.toString() for p in found if p.getName().startswith("part-"))

    def write(self, folder: str, name: str, text: str = "") -> None:
        """Write a small file, so that others see it whole or not at all."""
        system, path = self.locate(folder)
        fs = self.jvm.org.apache.hadoop.fs
        draft = fs.Path(path, f".{name.lstrip('_')}.part")
        stream = system.create(draft, True)
        stream.write(bytearray(text, "utf-8"))
        stream.close()
        if not system.rename(draft, fs.Path(path, name)):
            raise UserError(f"{folder}: {name} cannot be written")


# -- failures, in words


def causes(error: Exception) -> list[str]:
    """The messages of a Java exception and its causes, the root cause last."""
    current = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    if current is None:
        return [str(error) or type(error).__name__]
    messages = []
    while current is not None:
        messages.append(str(current.getMessage() or current.getClass().getSimpleName()))
        current = current.getCause()
    return messages


def root_cause(error: Exception) -> str:
    """The first line of the root cause's message."""
    return causes(error)[-1].strip().partition("\n")[0]


@contextmanager
def about(name: str) -> Generator[None]:
    """Whatever Java throws in this block is the fault of the file or folder `name`."""
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        raise UserError(f"{name}: {root_cause(error)}") from error


@contextmanager
def about_what_is_read() -> Generator[None]:
    """A task's failure in this block is the fault of the file that it was reading, if any."""
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        for message in causes(error):
            # Spark names the file by its URI.
            if match := re.search(r"while reading file (\S+?)\.?\s", message):
                name = unquote(match[1]).removeprefix("file://")
                why = root_cause(error)
                if "FILE_NOT_EXIST" in message and "ermission" not in why:
                    why = "it has gone, or lies on no volume that every executor sees"
                raise UserError(f"{name}: cannot be read: {why}") from error
        raise


# -- the run


def java(spark: SparkSession) -> Any:
    """The JVM's classes by their names."""
    return spark.sparkContext._jvm


def java_context(spark: SparkSession) -> Any:
    """The JavaSparkContext behind the session."""
    return spark.sparkContext._jsc


@contextmanager
def progress(spark: SparkSession, what: str) -> Generator[None]:
    """Say now and then on stderr how many tasks are done while the block runs."""
    tracker = spark.sparkContext.statusTracker()
    started = time.monotonic()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(PROGRESS_EVERY):
            with suppress(Exception):  # No progress is worth a failure.
                stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
                tasks = sum(stage.numTasks for stage in stages if stage)
                ended = sum(stage.numCompletedTasks for stage in stages if stage)
                seconds = time.monotonic() - started
                say(f"{what}: {ended} of {tasks} tasks of this stage, {seconds:.0f} s")

    say(what)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def end_tasks(spark: SparkSession) -> None:
    """Cancel all jobs and wait until no task runs, or a task would write into what is removed."""
    spark.sparkContext.cancelAllJobs()
    tracker = java_context(spark).sc().statusTracker()
    limit = time.monotonic() + TASKS_END_WITHIN
    while time.monotonic() < limit:
        if not any(executor.numRunningTasks() for executor in tracker.getExecutorInfos()):
            return
        time.sleep(0.1)


@contextmanager
def all_or_nothing(spark: SparkSession, files: Files, folder: str) -> Generator[None]:
    """Make a folder, which goes away again if the block fails."""
    with about(folder):
        missing = files.missing(folder)
    try:
        with about(folder):
            files.make(missing)
        yield
    except Exception:
        with suppress(Exception):  # With Spark gone nothing can be removed; what counts is raised.
            end_tasks(spark)
            files.unmake(missing)
        raise


def check_pattern(spark: SparkSession, pattern: str) -> None:
    """UserError unless Java takes the regex."""
    try:
        java(spark).java.util.regex.Pattern.compile(f"(?U){pattern}")
    except (Py4JJavaError, PySparkException) as error:
        # The index in the message counts the prefix, too: of no use to the user.
        reason = root_cause(error).partition(" near index")[0]
        raise UserError(f"--pattern {pattern}: {reason}") from error


def read_lines(spark: SparkSession, files: Files, name: str) -> DataFrame:
    """The lines (column `value`) of all files that `name` means; says how many those are."""
    with about(name):
        source, paths = files.matches(name)
        if not paths:
            raise UserError(f"{name}: there is no such file or folder")
        lines = spark.read.text(source, lineSep="\n", recursiveFileLookup=True)
        read = len(lines.inputFiles())
        hidden = sum(files.count(path) for path in paths) - read
    if hidden > 0:
        if not read and len(paths) == 1 and paths[0].getName().startswith(("_", ".")):
            raise UserError(f"{name}: a name that starts with _ or . is hidden; give it another")
        say(f"{name}: {hidden} hidden files (names that start with _ or .) are left out")
    say(f"{name}: {read} {'file' if read == 1 else 'files'}")
    return lines


def run(spark: SparkSession, args: argparse.Namespace, started: float) -> str:
    """Count, write the output, and give the summary as a line of JSON.

    `started` is the time.monotonic() that `seconds` counts from.
    """
    files = Files(spark)
    check_pattern(spark, args.pattern)
    lines = read_lines(spark, files, args.input)
    with all_or_nothing(spark, files, args.output):
        with progress(spark, "counting"), about_what_is_read():
            counts = count_words(lines, args.pattern, args.lowercase)
            words, distinct, bad_bytes = write_csv(counts, args.output)
        if bad_bytes:
            say(f"{args.input}: {bad_bytes} bytes are not UTF-8; U+FFFD was put in their place")
        with about(args.output):
            parts = files.parts(args.output)
            if not parts:
                raise UserError(f"{args.output}: it lies on no volume that every executor sees")
            top = first_rows(spark, parts, args.top)
            summary = {
                "input": args.input,
                "words": words,
                "distinct": distinct,
                "top": top,
                "seconds": round(time.monotonic() - started, 3),
                "sparkVersion": spark.version,
            }
            line = json.dumps(summary)
            files.write(args.output, "summary.json", line + "\n")
            files.write(args.output, "_SUCCESS")
    say(f"{words} words, {distinct} of them distinct, in {args.output}")
    return line


def leave_others_alone(environ: MutableMapping[str, str]) -> None:
    """Spark is that of the pyspark that was imported, and Java one that is there, even where the
    shell names those of another project."""
    environ.pop("SPARK_HOME", None)
    java_home = environ.get("JAVA_HOME", "")
    if not os.access(os.path.join(java_home, "bin", "java"), os.X_OK):
        environ.pop("JAVA_HOME", None)


def new_session() -> SparkSession:
    """The session that spark-submit configured; under plain python one on all local cores."""
    # Only pyspark's own start of a JVM reads these; under spark-submit there is one already.
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        leave_others_alone(os.environ)
    os.environ.setdefault(
        "PYSPARK_SUBMIT_ARGS",
        "--name WordCount --conf spark.ui.showConsoleProgress=false pyspark-shell",
    )
    spark = SparkSession.builder.getOrCreate()
    # Who set a level wants to see all that it shows.
    if spark.conf.get("spark.log.level", None) is None:
        spark.sparkContext.setLogLevel("WARN")
        log4j = java(spark).org.apache.logging.log4j
        for name in TRACES:
            log4j.core.config.Configurator.setLevel(name, log4j.Level.OFF)
    return spark


def run_alone(args: argparse.Namespace, started: float) -> str:
    """`run` with a session of its own."""
    spark = new_session()
    try:
        return run(spark, args, started)
    finally:
        with suppress(Exception):  # The JVM may be what died.
            spark.stop()


def on_sigterm(_signum: int, _frame: FrameType | None) -> NoReturn:
    """Signal handler."""
    raise Stopped("SIGTERM")


def run_stoppable(args: argparse.Namespace, started: float) -> str:
    """`run_alone`; a signal cancels what it does, and it takes away what it wrote.

    In a thread: an exception out of a signal handler, amid an exchange with the JVM, would leave
    that exchange broken, and nothing could be taken away any more.
    """
    signal.signal(signal.SIGTERM, on_sigterm)
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(run_alone, args, started)
        try:
            return future.result()
        except (KeyboardInterrupt, Stopped):
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, signal.SIG_IGN)
            while not wait([future], timeout=0.2).done:
                # Again and again: the next job may only be about to start.
                if context := SparkContext._active_spark_context:
                    with suppress(Exception):
                        context.cancelAllJobs()
            if future.exception() is None:
                return future.result()  # It was done before it could be stopped.
            raise


def main(argv: Sequence[str] | None = None, spark: SparkSession | None = None) -> int:
    """The program; the exit code. A session that is given is used and not stopped."""
    started = time.monotonic()
    try:
        args = parse_args(argv)
        print(run(spark, args, started) if spark else run_stoppable(args, started), flush=True)
        return 0
    except UserError as error:
        say(str(error))
        return 2
    except (KeyboardInterrupt, Stopped) as error:
        say(f"stopped by {error or 'SIGINT'}")
        return 1
    except (Py4JNetworkError, ConnectionError):
        say("failed: Spark's own process has ended; what it last said is above")
        return 1
    except (PySparkException, Py4JError, OSError) as error:
        say(f"failed: {root_cause(error)}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
