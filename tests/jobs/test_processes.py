"""wordcount.py as its users start it: by spark-submit and by python; and ended before its time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes import bound

CHECKOUT = Path(__file__).parents[2]
PROGRAM = str(CHECKOUT / "spark_jobs" / "wordcount.py")
BIN = Path(sys.executable).parent
#: Quick to start, on one core, without a port.
CONF = ["--master", "local[1]", "--conf", "spark.ui.enabled=false"]
#: Seconds that a run may take, on a machine that has more to do.
LIMIT = 300
BY_SUBMIT = [str(BIN / "spark-submit"), *CONF, PROGRAM]
BY_PYTHON = [sys.executable, PROGRAM]


def environment() -> dict[str, str]:
    """This Python for Spark, and quick starts for the JVM under plain python, too."""
    submit_args = " ".join([*CONF, "pyspark-shell"])
    return os.environ | {"PYSPARK_PYTHON": sys.executable, "PYSPARK_SUBMIT_ARGS": submit_args}


def run(command: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment() | env, capture_output=True, text=True, timeout=LIMIT
    )


def test_by_python_under_any_locale(tmp_path: Path) -> None:
    """Nor does a Turkish JVM make other words; siblings are found whatever Python's settings."""
    folder = tmp_path / "bücher"
    folder.mkdir()
    (folder / "größe").write_text("ONE")
    (folder / os.fsdecode(b"caf\xe9")).write_text("TITLE İ")
    foreign = {"LC_ALL": "C", "JAVA_TOOL_OPTIONS": "-Duser.language=tr", "PYTHONSAFEPATH": "1"}
    done = run([*BY_PYTHON, str(folder), str(tmp_path / "zähler"), "--lowercase"], **foreign)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert [row["word"] for row in summary["top"]] == ["i̇", "one", "title"]
    assert json.loads((tmp_path / "zähler" / "summary.json").read_text()) == summary


def test_by_spark_submit_which_takes_names_apart(tmp_path: Path) -> None:
    """Its JVM has the user's locale; what is in a folder is counted all the same."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "größe").write_text("the cat the dog")
    command = [*BY_SUBMIT, str(folder)]
    done = run([*command, str(tmp_path / "out"), "--top", "1"], LC_ALL="C")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["top"] == [{"word": "the", "count": 2}]
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    done = run([*command, str(tmp_path / "zähler")], LC_ALL="C")
    assert (done.returncode, done.stdout) == (2, "")
    assert "set LC_ALL=C.UTF-8" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}


def test_refusal(tmp_path: Path) -> None:
    done = run([*BY_SUBMIT, str(tmp_path / "nothing"), str(tmp_path / "out")])
    assert done.returncode == 2
    assert done.stdout == ""
    own = [line for line in done.stderr.splitlines() if line.startswith("wordcount: ")]
    assert own == [f"wordcount: {tmp_path}/nothing: there is no such file or folder"]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture
def slow_run(tmp_path: Path) -> Iterator[Callable[[list[str]], subprocess.Popen[bytes]]]:
    """Start the program on an input that takes it minutes; return while it counts."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: list[str]) -> subprocess.Popen[bytes]:
        # For each letter the pattern looks at the whole rest of the line.
        (tmp_path / "in.txt").write_text(("a" * 20_000 + "\n") * 1000)
        command = [*program, str(tmp_path / "in.txt"), str(tmp_path / "out")]
        process = subprocess.Popen(
            bound([*command, "--pattern", "a(?=.*)"]), env=environment(), start_new_session=True
        )
        started.append(process)
        limit = time.monotonic() + LIMIT
        while not (tmp_path / "out").exists():
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < limit, "it does not start to count"
            time.sleep(0.05)
        return process

    yield start
    for process in started:
        # The JVM and Python are one process group, of which either may be left.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        process.wait()


def test_sigterm_leaves_nothing(
    slow_run: Callable[[list[str]], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    process = slow_run(BY_PYTHON)
    process.terminate()
    assert process.wait(timeout=LIMIT) == 1
    assert not (tmp_path / "out").exists()


def test_kill_leaves_no_result(
    slow_run: Callable[[list[str]], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    process = slow_run(BY_SUBMIT)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=LIMIT)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert not left & {"_SUCCESS", "summary.json"}
