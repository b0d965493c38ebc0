"""careful.py: what is said when something around a job is wrong."""

from __future__ import annotations

import argparse
import os
import pwd
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import careful
import pytest
from pyspark import SparkContext

JOBS = Path(__file__).parents[2] / "spark_jobs"
#: A job that is done at once, without Spark.
DONE = "import sys, careful; sys.exit(careful.run('Job', lambda: 0, lambda spark, args: 'line', 1))"


def python(program: str, redirect: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """A program in a shell, beside the jobs."""
    return subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {redirect}', sys.executable, program],
        env=os.environ | {"PYTHONPATH": str(JOBS)} | env,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("redirect", "why"),
    [
        (">/dev/full", "No space left on device"),
        ("| true; exit ${PIPESTATUS[0]}", "Broken pipe"),
    ],
)
def test_a_stdout_that_takes_nothing(redirect: str, why: str) -> None:
    # The pipe's reader has gone for sure when stdin ends.
    program = DONE if "full" in redirect else f"import time; time.sleep(0.5); {DONE}"
    done = python(program, redirect)
    line = f"job: all is done, but its last line did not get to stdout: {why}\n"
    assert (done.returncode, done.stderr) == (1, line)


def test_a_stderr_that_takes_nothing() -> None:
    done = python(f"import careful; careful.say('hello'); {DONE}", "2>/dev/full")
    assert (done.returncode, done.stdout) == (0, "line\n")


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"JAVA_HOME": "", "PATH": "/usr/sbin"}, ""),
        ({"JAVA_TOOL_OPTIONS": "-XX:+NoSuchOption"}, "Unrecognized VM option 'NoSuchOption'"),
    ],
)
def test_why_java_does_not_start(env: dict[str, str], why: str, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    command = [sys.executable, str(JOBS / "wordcount.py"), str(tmp_path / "a"), str(tmp_path / "b")]
    done = subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, timeout=300
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("wordcount: failed: Java did not start: ") and why in last, done.stderr
    assert "Traceback" not in done.stderr


def test_the_reason_is_the_first_fault() -> None:
    lines = [
        "Picked up JAVA_TOOL_OPTIONS: -Xerror",
        "WARNING: x",
        "",
        "Error: a",
        "at b",
        "Error c",
    ]
    assert careful._reason(deque(lines)) == "Error: a"
    assert careful._reason(deque(["one", "two"])) == "two"
    assert careful._reason(deque()) == "it said nothing"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment that the JVM was started with, once `_start_java` was called."""
    seen: dict[str, str] = {}
    monkeypatch.setattr(SparkContext, "_gateway", None)
    monkeypatch.setattr(SparkContext, "_ensure_initialized", lambda: seen.update(os.environ))
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    monkeypatch.delenv("SPARK_LOCAL_IP", raising=False)
    return seen


@pytest.mark.parametrize("locale", ["C", "tr_TR.UTF-8", None])
def test_the_jvm_has_its_own_locale(
    locale: str | None, started: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    if locale is not None:
        monkeypatch.setenv("LC_ALL", locale)
    careful._start_java()
    assert started["LC_ALL"] == "C.UTF-8"
    assert os.environ.get("LC_ALL") == locale
    assert "SPARK_LOCAL_IP" not in started or socket.gethostname() == ""


def test_a_host_name_that_means_nothing(
    started: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> str:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "gethostbyname", unknown)
    careful._start_java()
    assert started["SPARK_LOCAL_IP"] == "127.0.0.1"
    monkeypatch.delenv("SPARK_LOCAL_IP")


def test_a_user_without_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    def fail(*_: Any) -> str:
        raise OSError("something odd of Java's")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    session: Any = object()
    assert careful.run("Job", lambda: None, fail, session) == 1
    line = f"job: failed: the user id {os.getuid()} has no name in /etc/passwd"
    assert capsys.readouterr().err.startswith(line)


def test_numbers() -> None:
    number = careful.whole_number(0, 100)
    assert [number("0"), number("100")] == [0, 100]
    for wrong in ("101", "-1", "1.0", "", "٣", "1" * 5000, " 1"):
        with pytest.raises(argparse.ArgumentTypeError, match="from 0 to 100"):
            number(wrong)
