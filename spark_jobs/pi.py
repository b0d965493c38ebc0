#!/usr/bin/env python3
"""Estimate pi with Spark, to see that a cluster computes: Spark's own example as a DataFrame.

    pi.py [SAMPLES]

SAMPLES random points (default: 1 000 000) fall into a square; the share within its circle is pi/4.
Prints one line on stdout. Only pyspark, the standard library and modules beside it, Python 3.10.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # however this file is loaded

from careful import progress, run, whole_number


def estimate(spark: SparkSession, samples: int) -> float:
    """Pi, as the share of `samples` random points of a square that lie in its circle."""
    x, y = F.rand() * 2 - 1, F.rand() * 2 - 1
    inside = spark.range(samples).where(x * x + y * y <= 1).count()
    return 4 * inside / samples


def main(argv: Sequence[str] | None = None, spark: SparkSession | None = None) -> int:
    """The program; the exit code. A session that is given is used and not stopped."""
    parser = argparse.ArgumentParser(prog="pi.py", description="Estimate pi with Spark.")
    parser.add_argument("samples", nargs="?", type=whole_number(1, 2**63 - 1), default=1_000_000)

    def job(session: SparkSession, args: argparse.Namespace) -> str:
        with progress(session, "counting points"):
            return f"Pi is roughly {estimate(session, args.samples):.6f}"

    return run("Pi", lambda: parser.parse_args(argv), job, spark)


if __name__ == "__main__":
    sys.exit(main())
