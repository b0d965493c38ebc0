#!/usr/bin/env python3
"""An application for tests: TASKS tasks of SECONDS each; says what its driver and executors see.

    placed.py TASKS SECONDS

Prints one line of JSON: {sum, executors, driver, executor}. driver and executor are digests of what
they see of the Secret `vault`: its file, and the variable PASSWORD.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession


def seen() -> list[str]:
    """Digests of the secret's file and variable; never the secret."""
    file = Path("/etc/vault/password")
    values = [file.read_text() if file.exists() else "", os.environ.get("PASSWORD", "")]
    return [hashlib.sha256(value.encode()).hexdigest() for value in values]


def main() -> None:
    """The program."""
    seconds, tasks = float(sys.argv[2]), int(sys.argv[1])

    def task(number: int) -> tuple[int, str, list[str]]:
        time.sleep(seconds)
        return number, os.uname().nodename, seen()

    session = SparkSession.builder.getOrCreate()
    found = session.sparkContext.parallelize(range(tasks), tasks).map(task).collect()
    result = {
        "sum": sum(number for number, _, _ in found),
        "executors": sorted({host for _, host, _ in found}),
        "driver": seen(),
        "executor": found[0][2],
    }
    print(json.dumps(result), flush=True)
    session.stop()


if __name__ == "__main__":
    main()
