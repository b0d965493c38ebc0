"""`make why` and `make logs`, when the pods are gone: causes that can be made to happen here."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from console.stack import ROOT
from tests.e2e.conftest import Up

NATIVE = ["--master", "kubernetes", "--num-executors", "1", "--executor-memory", "512m"]
BEGIN = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
#: Takes more than a worker's or an executor's container may have.
HOLDS = (
    BEGIN
    + """
def hold(_):
    return len(bytes(1) * (3 << 30))

print("began", flush=True)
spark.sparkContext.parallelize([0], 1).map(hold).collect()
"""
)
DIVIDES = (
    BEGIN
    + """
def halve(row):
    return 1 / row.id

print("began", flush=True)
spark.range(3).rdd.map(halve).collect()
"""
)


def submit(*arguments: str | Path) -> tuple[str, str]:
    """What `make submit` calls: (the Job's name, why it failed)."""
    command = [".venv/bin/python", "-m", "console", "submit", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=420)
    print(done.stdout, done.stderr)
    assert done.returncode != 0
    found = re.search(r"^submit: job (\S+) in namespace ", done.stderr, re.M)
    assert found
    return found[1], done.stderr.splitlines()[-1].removeprefix("submit: ")


def assert_told(up: Up, job: str, line: str) -> str:
    """`make why` tells the same, by the Job's name and as the last run; what it prints."""
    assert up.get("pods", "-n", "spark", "-l", f"job-name={job}")["items"] == []
    printed = up.make("why", f"RUN={job}")
    assert line in printed.splitlines()
    assert line in up.make("why").splitlines()
    return printed


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "app.py"


@pytest.mark.parametrize("mode", [[], NATIVE, [*NATIVE, "--deploy-mode", "cluster"]])
def test_an_exception_and_the_users_own_line_of_it(up: Up, script: Path, mode: list[str]) -> None:
    script.write_text(DIVIDES)
    job, said = submit(*mode, script)
    line = said.removeprefix("the driver failed: ")
    assert line.startswith("ZeroDivisionError: division by zero (app.py, line 5, in halve: ")
    assert "That is: an exception." in assert_told(up, job, line)
    log = up.make("logs", f"RUN={job}")
    assert "\nbegan\n" in log and "ZeroDivisionError" in log


@pytest.mark.parametrize("mode", [[], NATIVE])
def test_an_executor_that_is_killed_for_memory(up: Up, script: Path, mode: list[str]) -> None:
    script.write_text(HOLDS)
    job, said = submit(*mode, script)
    line = said.removeprefix("the driver failed: ")
    assert "killed for memory: it asked for " in line
    assert "That is: killed for memory" in assert_told(up, job, line)


def test_what_ended_each_executor_and_its_last_words(up: Up, script: Path) -> None:
    script.write_text(HOLDS)
    job, _ = submit(*NATIVE, script)
    kept = "/srv/shared/spark/usage"
    found = up.ssh(up.control_plane(), f"cat $(sudo grep -l {job}- {kept}/*/why.json)")
    told = json.loads(found.stdout)
    (one, *_) = told["executors"]
    assert one["heapMiB"] == 512 < one["askedMiB"]
    assert one["ended"] or one["oomKills"] > 0
    words = [".venv/bin/python", "-m", "console", "logs", f"--run={job}", f"--executor={one['id']}"]
    log = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "executor" in log.lower()
    folder = f"{kept}/{told['application']}"
    sizes = up.ssh(up.control_plane(), f"stat -c %s {folder}/*.log").stdout.split()
    assert sizes and all(0 < int(size) <= 2 << 20 for size in sizes)


def test_an_image_that_can_not_be_pulled(up: Up) -> None:
    image = ["--image", "docker.io/me/none:1", "--wait", "20"]
    job, said = submit(*image, "spark_jobs/pi.py")
    line = said.removeprefix("no driver after 20 s: ")
    assert line.startswith("docker.io/me/none:1 of ") and " can't be pulled: " in line
    assert "That is: an image that can't be pulled." in assert_told(up, job, line)


def test_no_node_that_fits(up: Up) -> None:
    """An executor that an empty node could hold, but none that has Spark's worker on it."""
    wants = ["--conf", "spark.kubernetes.executor.request.cores=1950m", "--start-within", "20"]
    job, said = submit(*NATIVE, *wants, "spark_jobs/pi.py")
    line = said.removeprefix("the driver failed: ")
    assert re.match(r"no executor within 20 s: no node fits \S+: 0/3 nodes are available", line)
    assert "That is: no node that fits." in assert_told(up, job, line)


def test_a_file_that_is_not_there(up: Up) -> None:
    job, said = submit("local:///srv/shared/none.py")
    line = said.removeprefix("the driver failed: ")
    assert "none.py" in line
    assert "That is: a class, module or file that is not there." in assert_told(up, job, line)
