"""One cluster, and one Spark after the other on it: each counts the same words."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.stack import ROOT
from localcloud import releases
from tests.e2e.conftest import Up, write_text
from tests.e2e.test_40_spark_native import MODES, SMALL, submit

# No UTF-8: a lone byte, an encoded surrogate, a sequence that is cut off.
ODD = b"\xff \xed\xa0\x80 a\xe2\x82 b\n" * 3
# Executors' own Python does the work.
SQUARES = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("squares:", spark.sparkContext.parallelize(range(100), 4).map(lambda n: n * n).sum())
"""
TOP = 1000


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text with bytes that are not UTF-8."""
    path = tmp_path_factory.mktemp("odd") / "odd.txt"
    write_text(path, seed=83, words=20_000)
    path.write_bytes(path.read_bytes() + b"\n" + ODD)
    return path


@pytest.fixture(scope="module")
def stack(up: Up) -> Iterator[Up]:
    """The stack, which has its own Spark again afterwards."""
    text = up.outputs()["wordCount"]["input"]
    yield up
    up.make("up", f"INPUT={text}")


@pytest.fixture(scope="module", params=releases.known_sparks())
def version(stack: Up, request: pytest.FixtureRequest) -> str:
    """A Spark that the mirror has from now on."""
    version: str = request.param
    subprocess.run([sys.executable, "-m", "localcloud", "spark", version], cwd=ROOT, check=True)
    return version


@pytest.mark.parametrize("master", ["standalone", "kubernetes"])
def test_words_are_counted(stack: Up, version: str, odd: Path, tmp_path: Path, master: str):
    counting = {"input": str(odd), "top": TOP, "master": master}
    image = releases.further_sparks()[version].reference
    stack.configure({"spark": {"image": image}, "wordCount": counting})
    stack.stack.up(tmp_path / "events.jsonl")
    result = stack.outputs()["wordCount"]
    assert result["sparkVersion"] == version
    expected = Counter(odd.read_text("utf-8", errors="replace").split())
    ranked = sorted(expected.items(), key=lambda item: (-item[1], item[0]))
    assert (result["words"], result["distinct"]) == (sum(expected.values()), len(expected))
    assert [(row["word"], row["count"]) for row in result["top"]] == ranked[:TOP]
    assert result["replacedBytes"] == 3 * 6
    assert result["usage"]["tasks"] > 0
    assert stack.changes() == {}


@pytest.mark.parametrize("mode", MODES)
def test_executors_run_python(version: str, tmp_path: Path, mode: str):
    script = tmp_path / "squares.py"
    script.write_text(SQUARES)
    done = submit(*MODES[mode], *SMALL, script)
    assert done.returncode == 0
    assert "squares: 328350" in done.stdout
