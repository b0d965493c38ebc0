"""charts/spark/files/why.py, with the words that Spark itself has for what went wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import measured
import pyspark
import pytest

SUBMIT = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
BEGIN = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
IN_A_TASK = BEGIN + (
    "def halve(row):\n    return 1 / row.id\n\nspark.range(3).rdd.map(halve).collect()\n"
)
IN_A_UDF = BEGIN + (
    "from pyspark.sql.functions import udf\n@udf('double')\ndef halve(row):\n    return 1 / row\n\n"
    "spark.range(3).select(halve('id')).collect()\n"
)
NO_PATH = BEGIN + "spark.read.parquet('/no/such').show()\n"
NO_CLASS = BEGIN + "spark.read.format('no.such.source').load()\n"


@pytest.mark.parametrize(
    ("script", "cause", "parts"),
    [
        (
            IN_A_TASK,
            "exception",
            [
                "ZeroDivisionError: division by zero",
                "(app.py, line 4, in halve: return 1 / row.id)",
            ],
        ),
        (
            IN_A_UDF,
            "exception",
            ["ZeroDivisionError: division by zero", "(app.py, line 6, in halve: return 1 / row)"],
        ),
        (NO_PATH, "missing", ["[PATH_NOT_FOUND] ", "/no/such", "(app.py, line 3, in <module>: "]),
        (NO_CLASS, "missing", ["no.such.source", "(app.py, line 3, in <module>: "]),
        (None, "missing", ["none.py"]),
    ],
)
def test_a_real_failure_is_named(
    tmp_path: Path, script: str | None, cause: str, parts: list[str]
) -> None:
    (tmp_path / "events").mkdir()
    app = tmp_path / ("none.py" if script is None else "app.py")
    if script is not None:
        app.write_text(script)
    conf = [f"--conf=spark.{key}" for key in ("master=local[1]", "ui.enabled=false")]
    words = [sys.executable, measured.__file__, str(tmp_path), "pod", "--", SUBMIT, *conf, str(app)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180)
    assert done.returncode != 0
    told = json.loads((tmp_path / "usage" / "pod" / "why.json").read_text())
    assert told["cause"] == cause, told
    for part in parts:
        assert part in told["line"]
