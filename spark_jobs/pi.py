#!/usr/bin/env python3
"""Estimate pi with Spark, to see that a cluster computes: Spark's own example as a DataFrame.

    pi.py [SAMPLES]

SAMPLES random points (default: 1 000 000) fall into a square; the share within its circle is pi/4.
Prints one line on stdout. Only pyspark and the standard library, Python 3.10.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def positive(text: str) -> int:
    """argparse type: a number from 1 on."""
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def estimate(spark: SparkSession, samples: int) -> float:
    """Pi, as the share of `samples` random points of a square that lie in its circle."""
    x, y = F.rand() * 2 - 1, F.rand() * 2 - 1
    inside = spark.range(samples).where(x * x + y * y <= 1).count()
    return 4 * inside / samples


def main(argv: Sequence[str] | None = None, spark: SparkSession | None = None) -> int:
    """The program; the exit code. A session that is given is used and not stopped."""
    parser = argparse.ArgumentParser(prog="pi.py", description="Estimate pi with Spark.")
    parser.add_argument("samples", nargs="?", type=positive, default=1_000_000)
    args = parser.parse_args(argv)
    session = spark or SparkSession.builder.getOrCreate()
    print(f"Pi is roughly {estimate(session, args.samples):.6f}", flush=True)
    if spark is None:
        session.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
