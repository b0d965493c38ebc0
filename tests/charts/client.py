"""Asks a Spark Connect server as a person's own Python does; prints lines of JSON.

    client.py URL use FILE | call MODULE | refused | idle

Runs in an environment that has pyspark's client and no Spark. idle: has a session, and asks it for
something more once there is a line to read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def session(url: str) -> SparkSession:
    """A new one, even where there is one already."""
    return SparkSession.builder.remote(url).create()


def use(url: str, file: str) -> dict[str, object]:
    """What two sessions at once see of their own things, and of a file here."""
    one, two = session(url), session(url)
    words = one.createDataFrame([(word,) for word in ["the", "cat", "the", "dog"]], ["word"])
    with open(file) as text:
        lines = one.createDataFrame([(line,) for line in text], "line string")
    one.range(3).createOrReplaceTempView("own")
    two.range(5).createOrReplaceTempView("own")
    return {
        "spark": one.version,
        "counted": {row["word"]: row["count"] for row in words.groupBy("word").count().collect()},
        "lines": lines.count(),
        "own": [spark.table("own").count() for spark in (one, two)],
    }


def call(url: str, file: str) -> dict[str, object]:
    """What functions from here give, of which one is in a module; or the error."""
    spark = session(url)
    spark.addArtifacts(file, pyfile=True)

    @F.udf("int")
    def answer(number: int) -> int:
        return import_module(Path(file).stem).ANSWER + number

    try:
        rows = spark.range(2).select(answer("id").alias("answer")).collect()
    except PySparkException as error:
        return {"error": str(error)}
    return {"answers": [row["answer"] for row in rows]}


def fails(spark: Callable[[], SparkSession]) -> dict[str, object]:
    """The error of who asks it something."""
    try:
        spark().range(1).count()
    except PySparkException as error:
        return {"error": str(error)}
    return {"error": None}


def main() -> None:
    """Does what is asked for."""
    url, what, *more = sys.argv[1:]
    if what in ("use", "call"):
        print(json.dumps({"use": use, "call": call}[what](url, *more)))
    elif what == "refused":
        print(json.dumps(fails(lambda: session(url))))
    else:
        spark = session(url)
        print(json.dumps({"counted": spark.range(7).count()}), flush=True)
        sys.stdin.readline()
        print(json.dumps(fails(lambda: spark)))


if __name__ == "__main__":
    main()
