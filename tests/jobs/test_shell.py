"""What the shell names of another project's Spark and Java."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from careful import leave_others_alone
from pyspark.find_spark_home import _find_spark_home


def test_the_spark_is_the_one_that_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    own = _find_spark_home()
    monkeypatch.setenv("SPARK_HOME", "/nonexistent")
    assert _find_spark_home() != own
    leave_others_alone(os.environ)
    assert _find_spark_home() == own


def test_a_java_that_is_there_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.touch(0o755)
    environ = {"JAVA_HOME": str(tmp_path)}
    leave_others_alone(environ)
    assert environ == {"JAVA_HOME": str(tmp_path)}
    java.unlink()
    leave_others_alone(environ)
    assert environ == {}
    assert f"there is no java in JAVA_HOME={tmp_path}; the one on PATH is used" in (
        capsys.readouterr().err
    )
