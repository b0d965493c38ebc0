#!/usr/bin/env python3
"""A Spark application that takes its time without a core: something to break in the middle.

    slow.py TASKS SECONDS [IDLE]

TASKS tasks of SECONDS each, then a shuffle; prints {"0": n, "1": n, ...}: how many of the numbers
from 0 to TASKS * 100 leave which remainder by 7. Then it stays for IDLE more seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable

from pyspark.sql import SparkSession


def slowly(seconds: float, numbers: Iterable[int]) -> list[tuple[int, int]]:
    """(remainder, 1) of each number, in no less than that time."""
    time.sleep(seconds)
    return [(number % 7, 1) for number in numbers]


def main() -> None:
    """The program."""
    tasks, seconds = int(sys.argv[1]), float(sys.argv[2])
    spark = SparkSession.builder.getOrCreate()
    numbers = spark.sparkContext.parallelize(range(tasks * 100), tasks)
    pairs = numbers.mapPartitions(lambda part: slowly(seconds, part))
    counts = pairs.reduceByKey(lambda a, b: a + b, 4).collectAsMap()
    print(json.dumps({str(key): counts[key] for key in sorted(counts)}), flush=True)
    if len(sys.argv) > 3:
        time.sleep(float(sys.argv[3]))
    spark.stop()


if __name__ == "__main__":
    main()
