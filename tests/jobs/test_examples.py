"""examples/: each does what it says, with local Spark; tests/e2e/test_68_examples.py runs them
as the settings on top of them say."""

from __future__ import annotations

import contextlib
import os
import runpy
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.examples import rows
from toolchain import jars

EXAMPLES = Path(__file__).parents[2] / "examples"
ZONE = "Pacific/Kiritimati"
#: Noon of 20 November 2026 in UTC, which is the 21st there.
NOON = 1795176000


@pytest.fixture
def run(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Runs one as spark-submit does, in the session that there is; what it prints."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    spark.conf.set("spark.sql.session.timeZone", ZONE)
    yield run
    spark.conf.unset("spark.sql.session.timeZone")


def bring(folder: Path, name: str, text: str) -> None:
    """A text that came at NOON."""
    draft = folder / "in" / f".{name}"
    draft.parent.mkdir(exist_ok=True)
    draft.write_text(text)
    os.utime(draft, (NOON, NOON))
    draft.rename(draft.with_name(name))


#: Counts what there is for each line that comes; the function for a batch is called by the JVM.
COUNTER = """
import runpy, sys
from pyspark.sql import SparkSession
start = runpy.run_path(sys.argv[1])["start"]
spark = SparkSession.builder.getOrCreate()
for _ in sys.stdin:
    query = start(spark, sys.argv[2])
    query.processAllAvailable()
    query.stop()
    print("counted", flush=True)
"""


@contextlib.contextmanager
def counter(folder: Path) -> Generator[Callable[[], None]]:
    """A process that counts when it is told to, as a stream's driver does."""
    given = f"--conf spark.ui.enabled=false --conf spark.sql.session.timeZone={ZONE} pyspark-shell"
    command = [sys.executable, "-c", COUNTER, EXAMPLES / "streaming.py", folder]
    env = {**os.environ, "PYSPARK_SUBMIT_ARGS": f"--master local[1] {given}"}
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as made:
        limit = threading.Timer(240, made.kill)
        limit.start()

        def count() -> None:
            assert made.stdin and made.stdout
            made.stdin.write("\n")
            made.stdin.flush()
            assert made.stdout.readline() == "counted\n"

        try:
            yield count
        finally:
            limit.cancel()
            made.communicate()


def test_words_that_arrive_are_counted_once_whatever_is_killed_and_reported_by_their_day(
    spark: SparkSession, run: Callable[..., str], tmp_path: Path
) -> None:
    with counter(tmp_path) as count:
        bring(tmp_path, "a.txt", "one two two\n\n  three \n")
        count()
        bring(tmp_path, "b.txt", 'two four say,"so\\"\n')
        count()
        # As a driver leaves it that is killed when it has written a batch, and not yet said so.
        for file in (tmp_path / "checkpoint" / "commits").glob("*1*"):
            file.unlink()
        (tmp_path / "counts" / "batch=1" / "date=2026-11-21" / "part-half.csv").write_text(
            "word,count\nfour,7\n"
        )
        count()
    expected = Counter({"one": 1, "two": 3, "three": 1, "four": 1, 'say,"so\\"': 1})
    assert rows(tmp_path / "counts") == expected
    assert {path.name for path in tmp_path.glob("counts/*/*=*")} == {"date=2026-11-21"}

    for _ in range(2):
        said = run("nightly.py", tmp_path, "2026-11-21")
        assert said == "2026-11-21: 5 different words, most often: two four one\n"
        assert rows(tmp_path / "reports" / "2026-11-21") == expected
    yesterday = spark.sql("SELECT date_sub(current_date(), 1)").head()
    assert yesterday is not None
    said = run("nightly.py", tmp_path)
    assert said == f"{yesterday[0]}: 0 different words, most often:\n"
    assert (tmp_path / "reports" / str(yesterday[0]) / "_SUCCESS").exists()


def test_a_report_before_the_first_text_is_an_empty_one(
    spark: SparkSession, run: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "counts").mkdir()
    assert "0 different words" in run("nightly.py", tmp_path)


def process(folder: Path, conf: dict[str, str], *command: object) -> list[str]:
    """Runs Python with a Spark of its own there; the lines that it prints."""
    conf = {"spark.ui.enabled": "false", "spark.master": "local[1]", **conf}
    given = " ".join(f"--conf {key}={value}" for key, value in conf.items())
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, "PYSPARK_SUBMIT_ARGS": f"{given} pyspark-shell"},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_a_package_comes_by_an_archive(tmp_path: Path) -> None:
    """One of that name and function; that pip brings the real one, the e2e test shows."""
    (tmp_path / "humanize.py").write_text("def intword(number):\n    return f'<{number}>'\n")
    archive = tmp_path / "packages.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "humanize.py", "humanize.py")
    (tmp_path / "humanize.py").unlink()
    conf = {"spark.archives": f"{archive}#packages"}
    said = process(tmp_path, conf, EXAMPLES / "archive.py", 7, 2500000000)
    assert said == ["<7>, <2500000000>"]


def test_a_delta_table_changes_where_the_texts_do(tmp_path: Path) -> None:
    """Three runs of the example in one process: Spark starts once."""
    names = sorted(str(jar) for jar in jars.fetch(jars.pinned("delta")).glob("*.jar"))
    program = f"""
import os, runpy, sys
def run():
    runpy.run_path({str(EXAMPLES / "delta.py")!r}, run_name="__main__")
run()
run()
open({str(tmp_path / "in" / "b.txt")!r}, "w").write("two five\\n")
os.remove({str(tmp_path / "in" / "c.txt")!r})
run()
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
for version in (0, 1, 3):
    table = spark.sql(f"SELECT * FROM delta.`{tmp_path}/table` VERSION AS OF {{version}}")
    print(dict(sorted((row[0], row[1]) for row in table.collect())))
"""
    bring(tmp_path, "a.txt", "one two two\n")
    bring(tmp_path, "c.txt", "gone\n")
    sql = "spark.sql"
    conf = {
        "spark.jars": ",".join(names),
        f"{sql}.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        f"{sql}.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        f"{sql}.shuffle.partitions": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    assert process(tmp_path, conf, "-c", program, tmp_path) == [
        "3 words; changed: 3",
        "3 words; changed: 0",
        "3 words; changed: 3",
        "{}",
        "{'gone': 1, 'one': 1, 'two': 2}",
        "{'five': 1, 'one': 1, 'two': 3}",
    ]
