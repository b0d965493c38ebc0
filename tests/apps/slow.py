#!/usr/bin/env python3
"""A Spark application that takes its time without a core: something to break in the middle.

    slow.py TASKS SECONDS [IDLE [FILE]]

TASKS tasks of SECONDS each, of which the second half waits besides until there is FILE; then a
shuffle; prints {"0": n, "1": n, ...}: how many of the numbers from 0 to TASKS * 100 leave which
remainder by 7. Then it stays for IDLE more seconds, or until FILE is gone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from pyspark.sql import SparkSession


def slowly(seconds: float, file: str, numbers: Iterable[int]) -> list[tuple[int, int]]:
    """(remainder, 1) of each number, in no less than that time, nor before there is the file."""
    time.sleep(seconds)
    while file and not Path(file).exists():
        time.sleep(0.1)
    return [(number % 7, 1) for number in numbers]


def main() -> None:
    """The program."""
    tasks, seconds = int(sys.argv[1]), float(sys.argv[2])
    idle = float(sys.argv[3]) if len(sys.argv) > 3 else 0
    file = sys.argv[4] if len(sys.argv) > 4 else ""
    spark = SparkSession.builder.getOrCreate()
    numbers = spark.sparkContext.parallelize(range(tasks * 100), tasks)
    pairs = numbers.mapPartitionsWithIndex(
        lambda task, part: slowly(seconds, file if task >= tasks // 2 else "", part)
    )
    counts = pairs.reduceByKey(lambda a, b: a + b, 4).collectAsMap()
    print(json.dumps({str(key): counts[key] for key in sorted(counts)}), flush=True)
    end = time.monotonic() + idle
    while time.monotonic() < end and (not file or Path(file).exists()):
        time.sleep(0.1)
    spark.stop()


if __name__ == "__main__":
    main()
