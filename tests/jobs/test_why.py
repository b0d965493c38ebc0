"""charts/spark/files/why.py, with the words that Spark itself has for what went wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import measured
import pyspark
import pytest
import why

SUBMIT = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
BEGIN = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
#: What fails, each a program of its own.
PROGRAMS = {
    "task.py": BEGIN
    + "def halve(row):\n    return 1 / row.id\n\n"
    + "spark.range(3).rdd.map(halve).collect()\n",
    "udf.py": BEGIN
    + "from pyspark.sql.functions import udf\n@udf('double')\n"
    + "def halve(row):\n    return 1 / row\n\nspark.range(3).select(halve('id')).collect()\n",
    "path.py": BEGIN + "spark.read.parquet('/no/such').show()\n",
    "class.py": BEGIN + "spark.read.format('no.such.source').load()\n",
}
#: Runs them one after the other, on one session; it ends of the last.
ALL = """import runpy, sys, traceback
for program in sys.argv[1:-1]:
    try:
        runpy.run_path(program, run_name="__main__")
    except Exception:
        traceback.print_exc()
    print("and now", file=sys.stderr)
runpy.run_path(sys.argv[-1], run_name="__main__")
"""


def submit(folder: Path, app: Path, *arguments: str) -> dict[str, Any]:
    """What is told of an application that fails."""
    (folder / "events").mkdir()
    conf = [f"--conf=spark.{key}" for key in ("master=local[1]", "ui.enabled=false")]
    words = [sys.executable, measured.__file__, str(folder), "pod", "--", SUBMIT, *conf]
    words += [str(app), *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180)
    assert done.returncode != 0
    return json.loads((folder / "usage" / "pod" / "why.json").read_text())


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, why.Cause]:
    """What is told of each; of all but the last by their parts of the driver's log."""
    folder = tmp_path_factory.mktemp("why")
    for name, program in PROGRAMS.items():
        (folder / name).write_text(program)
    (folder / "all.py").write_text(ALL)
    last = submit(folder, folder / "all.py", *(str(folder / name) for name in PROGRAMS))
    logs = (folder / "usage" / "pod" / "driver.log").read_text().split("and now\n")
    causes = [why.cause({"code": 1, "log": log}) for log in logs[:-1]]
    return dict(zip(PROGRAMS, [*causes, last], strict=True))


@pytest.mark.parametrize(
    ("program", "cause", "parts"),
    [
        (
            "task.py",
            "exception",
            [
                "ZeroDivisionError: division by zero",
                "(task.py, line 4, in halve: return 1 / row.id)",
            ],
        ),
        (
            "udf.py",
            "exception",
            ["ZeroDivisionError: division by zero", "(udf.py, line 6, in halve: return 1 / row)"],
        ),
        (
            "path.py",
            "missing",
            ["[PATH_NOT_FOUND] ", "/no/such", "(path.py, line 3, in <module>: "],
        ),
        ("class.py", "missing", ["no.such.source", "(class.py, line 3, in <module>: "]),
    ],
)
def test_a_real_failure_is_named(
    told: dict[str, why.Cause], program: str, cause: str, parts: list[str]
) -> None:
    assert told[program]["cause"] == cause, told
    for part in parts:
        assert part in told[program]["line"]


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    told = submit(tmp_path, tmp_path / "none.py")
    assert told["cause"] == "missing" and "none.py" in told["line"], told
