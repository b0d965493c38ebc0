"""Java packages: what Ivy is asked for, and that nothing half or wrong is taken."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from xml.etree import ElementTree

import pyspark
import pytest

from toolchain import jars, paths
from toolchain.errors import ToolchainError

#: In Java's place: says what it got, and lays two jars where Ivy would.
JAVA = """#!/bin/sh
[ -z "$FAIL" ] || { echo ":: org.none#none;1: not found"; exit 1; }
printf '%s\\n' "$@" >"$0.arguments"
while [ "$1" != -retrieve ]; do
  [ "$1" != -ivy ] || cp "$2" "$0.ivy"
  shift
done
mkdir -p "${2%/*}"
echo one >"${2%/*}/a-1.jar"
echo two >"${2%/*}/b-2.jar"
"""


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Java that plays Ivy, and a cache of the test's own."""
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text(JAVA)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("TINDERBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def test_packages_and_what_to_leave_out_reach_ivy(java: Path) -> None:
    wanted = jars.Jars("some", ("org.a:b:1.0", "org.c:d_2.13:2"), ("io.x:*", "org.y:z"))
    folder = jars.fetch(wanted)
    assert sorted(file.name for file in folder.iterdir()) == ["a-1.jar", "b-2.jar"]
    asked = ElementTree.parse(f"{java}.ivy").getroot()
    assert [tuple(item.attrib.values()) for item in asked.iter("dependency")] == [
        ("org.a", "b", "1.0"),
        ("org.c", "d_2.13", "2"),
    ]
    left = [(item.get("org"), item.get("module")) for item in asked.iter("exclude")]
    assert left == [("io.x", "*"), ("org.y", "z")]


def test_jars_are_fetched_once(java: Path) -> None:
    folder = jars.fetch(jars.Jars("some", ("org.a:b:1",)))
    java.unlink()
    assert jars.fetch(jars.Jars("some", ("org.a:b:1",))) == folder


def test_other_jars_than_the_pinned_ones_are_refused(java: Path) -> None:
    folder = jars.fetch(jars.Jars("some", ("org.a:b:1",)))
    digest = paths.digest_of_files(folder, folder.iterdir())
    shutil.rmtree(folder)
    assert jars.fetch(jars.Jars("some", ("org.a:b:1",), digest=digest)).is_dir()
    wrong = jars.Jars("some", ("org.a:b:2",), digest="0" * 64)
    with pytest.raises(ToolchainError, match="pinned is 0000"):
        jars.fetch(wrong)
    assert not wrong.folder.exists()


def test_a_package_that_is_not_to_be_had(java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(ToolchainError, match="can't be had: org.none#none;1: not found"):
        jars.fetch(jars.Jars("none", ("org.none:none:1",)))


@pytest.mark.parametrize("package", ["org.a:b", "b", "org.a::1", "a:b:c:d"])
def test_what_is_no_package_is_refused(java: Path, package: str) -> None:
    with pytest.raises(ToolchainError, match="write GROUP:ARTIFACT:VERSION"):
        jars.fetch(jars.Jars("bad", (package,)))


def test_s3_is_pinned_whole_and_has_nothing_that_spark_has_itself() -> None:
    s3 = jars.pinned("s3")
    assert len(s3.digest) == 64
    assert {"software.amazon.awssdk:bundle", "io.netty:*"} <= set(s3.leave_out)
    with pytest.raises(ToolchainError, match="no jars named nope; known: s3, delta, hdfs"):
        jars.pinned("nope")


def test_delta_is_that_of_spark() -> None:
    delta = jars.pinned("delta")
    release = ".".join(pyspark.__version__.split(".")[:2])
    assert len(delta.digest) == 64
    assert delta.packages[0].startswith(f"io.delta:delta-spark_{release}_2.13:")


def test_hadoop_aws_has_the_version_of_sparks_hadoop() -> None:
    found = next((paths.VENV / "lib").glob("python3*/site-packages/pyspark/jars"))
    (client,) = found.glob("hadoop-client-api-*.jar")
    version = client.stem.removeprefix("hadoop-client-api-")
    assert f"org.apache.hadoop:hadoop-aws:{version}" in jars.pinned("s3").packages
    assert jars.pinned("hdfs").packages[0].endswith(f":{version}")
