"""python -m bench.plans [--megabytes N] [--rounds N]: plans of the word count, side by side.

Each plan runs warm, in turn forwards and backwards, in one JVM. Printed are medians of the ratios
to the plan of spark_jobs/wordcount.py: CPU seconds of the JVM, and wall.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench import texts
from bench.contender import session
from bench.machine import cpu
from toolchain import paths

_SQL = "spark.sql."
_FEW = {f"{_SQL}shuffle.partitions": "8"}
_ONE_LEVEL = {f"{_SQL}codegen.aggregate.map.twolevel.enabled": "false"}
_SPACES = "\\t\\n\\x0B\\f\\r \\x85\\xA0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"

#: Today's plan under other settings.
SETTINGS: dict[str, Mapping[str, str]] = {
    "today": {},
    "8 shuffle partitions": _FEW,
    "capacityBit 19": {f"{_SQL}codegen.aggregate.fastHashMap.capacityBit": "19"},
    "capacityBit 21": {f"{_SQL}codegen.aggregate.fastHashMap.capacityBit": "21"},
    "tasks of 16 MB": {f"{_SQL}files.maxPartitionBytes": "16m"},
    "no generated code": {f"{_SQL}codegen.wholeStage": "false"},
    "one level": _ONE_LEVEL,
    "one level, 8 partitions": {**_ONE_LEVEL, **_FEW},
}


def plans(spark: Any, text: Path) -> dict[str, Callable[[], Any]]:
    """Each plan as what makes its rows."""
    import wordcount
    from pyspark.sql import functions as F

    line = F.col("value")

    def regex(column: Any, pattern: str = r"(?U)\S+") -> Any:
        return F.regexp_extract_all(column, F.lit(pattern), F.lit(0))

    def split(words: Any, **reader: str) -> Any:
        return spark.read.text(str(text), **reader).select(F.explode(words).alias("word"))

    def pieces_first() -> Any:
        pieces = (
            spark.read.text(str(text), lineSep=" ").groupBy("value").agg(F.count("*").alias("n"))
        )
        words = pieces.select(F.explode(regex(line)).alias("word"), "n")
        return wordcount.in_order(words.groupBy("word").agg(F.sum("n").alias("count")))

    def cut_by_reader() -> Any:
        words = split(regex(line), lineSep=" ").groupBy("word")
        return wordcount.in_order(words.agg(F.count("*").alias("count")))

    def today() -> Any:
        return wordcount.in_order(wordcount.count_words(spark.read.text(str(text))))

    return {
        **dict.fromkeys(SETTINGS, today),
        "scan": lambda: spark.read.text(str(text)),
        "scan and split": lambda: split(regex(line)),
        "scan, split at single spaces": lambda: split(F.split(line, " ")),
        "scan, split by explicit classes": lambda: split(regex(line, f"[^{_SPACES}]+")),
        "scan, replace, split": lambda: split(
            F.split(F.regexp_replace(line, f"[{_SPACES}]+", " "), " ")
        ),
        "without the sort": lambda: wordcount.count_words(spark.read.text(str(text))),
        "cut by the reader": cut_by_reader,
        "pieces counted first": pieces_first,
    }


def main() -> int:
    """Measures and prints; 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.plans", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    text = texts.make(paths.cache_dir() / "bench" / f"{args.megabytes}.txt", args.megabytes)
    spark = session()
    pid = spark.sparkContext._jvm.ProcessHandle.current().pid()
    found = plans(spark, text)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    for number in range(args.rounds + 1):
        for name in list(found) if number % 2 else reversed(found):
            settings = SETTINGS.get(name, {})
            for key, value in settings.items():
                spark.conf.set(key, value)
            spent_before, began = cpu(pid), time.monotonic()
            found[name]().write.format("noop").mode("overwrite").save()
            if number:
                spent[name].append((cpu(pid) - spent_before, time.monotonic() - began))
            for key in settings:
                spark.conf.unset(key)
    for name, all_ in spent.items():
        cpu_, wall = (
            median(one[i] / base[i] for one, base in zip(all_, spent["today"], strict=True))
            for i in range(2)
        )
        print(f"{name:32} CPU {cpu_:.2f}  wall {wall:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
