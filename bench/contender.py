"""python -m bench.contender NAME TEXT FOLDER: counts words as often as it is asked to.

For each line on stdin it counts once, writes rows `word,count`, the most frequent first, below
FOLDER, and prints {"seconds", "words", "distinct", "top"}; `top` are the ten first words. Each is a
process that stays, so that what it has learnt (compiled code, opened files) counts as warm.
A word is a maximal run of what is not Unicode's White_Space, for all of them.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Count = Callable[[Path, Path], None]
"""Counts a text into a folder that does not exist yet, as CSV files."""

#: Unicode's White_Space, for engines whose \s is ASCII's.
SPACE = (
    r"[\t\n\v\f\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"
)


def duckdb_() -> Count:
    """A line's words by RE2, unnested; no line is longer than its limit."""
    duckdb: Any = import_module("duckdb")  # of an environment that bench/words.py makes

    def count(text: Path, folder: Path) -> None:
        folder.mkdir()
        duckdb.sql(
            f"""COPY (SELECT word, count(*) AS n FROM (
                SELECT unnest(string_split_regex(line, '{SPACE}')) AS word
                FROM read_csv('{text}', columns={{'line': 'VARCHAR'}}, delim='\\1', quote='',
                    escape='', header=false, auto_detect=false, strict_mode=false,
                    max_line_size=100000000)
            ) WHERE word <> '' GROUP BY word ORDER BY n DESC, word)
            TO '{folder}/part.csv' (HEADER false)"""
        )

    return count


def polars_() -> Count:
    """A line's words by Rust's regex, whose classes are Unicode's; streaming."""
    polars: Any = import_module("polars")

    def count(text: Path, folder: Path) -> None:
        folder.mkdir()
        lines = polars.scan_lines(text, name="line")
        words = lines.select(polars.col("line").str.extract_all(r"\S+").alias("word"))
        counts = words.explode("word").drop_nulls().group_by("word").len("count")
        ranked = counts.sort(["count", "word"], descending=[True, False])
        ranked.sink_csv(folder / "part.csv", include_header=False, engine="streaming")

    return count


def unix() -> Count:
    """perl knows Unicode's whitespace, which tr does not; sort and uniq count bytes."""
    script = r"""perl -CSD -ne 'print "$_\n" for split' "$1" | LC_ALL=C sort -S 1G | uniq -c |
        LC_ALL=C sort -S 1G -k1,1nr -k2 | awk '{print "\"" $2 "\"," $1}' >"$2/part.csv" """

    def count(text: Path, folder: Path) -> None:
        folder.mkdir()
        subprocess.run(["bash", "-euo", "pipefail", "-c", script, "bash", text, folder], check=True)

    return count


def session() -> Any:
    """Spark on the cores that this process may use, warm from its second count on."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "spark_jobs"))
    import careful
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[*]").config(map=careful.CONF)
    quiet = {"spark.ui.enabled": "false", "spark.driver.memory": "2g", "spark.log.level": "ERROR"}
    return builder.config(map=quiet).getOrCreate()


def tinderbox() -> Count:
    """spark_jobs/wordcount.py, all that it does included."""
    spark = session()
    import wordcount

    def count(text: Path, folder: Path) -> None:
        if wordcount.main([str(text), str(folder)], spark):
            raise SystemExit("the word count failed")

    return count


def scan() -> Count:
    """Spark reads the lines and does nothing with them: the limit."""
    spark = session()
    return lambda text, _: spark.read.text(str(text)).write.format("noop").mode("overwrite").save()


def rdd() -> Count:
    """As in Spark's own example; words are counted as Python's objects."""
    spark = session()

    def count(text: Path, folder: Path) -> None:
        words = spark.sparkContext.textFile(str(text)).flatMap(str.split)
        counts = words.map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b)
        ranked = counts.sortBy(lambda row: (-row[1], row[0]))
        ranked.map(lambda row: f'"{row[0]}",{row[1]}').saveAsTextFile(str(folder))

    return count


CONTENDERS: dict[str, Callable[[], Count]] = {
    "Tinderbox": tinderbox,
    "duckdb": duckdb_,
    "polars": polars_,
    "Spark's bare scan": scan,
    "Spark RDD": rdd,
    "perl, sort, uniq -c": unix,
}


def result(folder: Path) -> dict[str, Any]:
    """Words, distinct words and the ten first of the rows in a folder; nothing where none are."""
    words = distinct = 0
    top: list[str] = []
    for part in sorted(folder.glob("part*")) if folder.exists() else []:
        with part.open(newline="", encoding="utf-8") as file:
            for word, count in csv.reader(file):
                words += int(count)
                distinct += 1
                if len(top) < 10:
                    top.append(word)
    return {"words": words, "distinct": distinct, "top": top}


def main(name: str, text: Path, folder: Path) -> None:
    """Counts at each line on stdin."""
    count = CONTENDERS[name]()
    output = sys.stdout
    sys.stdout = sys.stderr  # what engines print is none of the answers
    for _ in sys.stdin:
        shutil.rmtree(folder, ignore_errors=True)
        began = time.monotonic()
        count(text, folder)
        seconds = time.monotonic() - began
        print(json.dumps({"seconds": seconds, **result(folder)}), file=output, flush=True)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
