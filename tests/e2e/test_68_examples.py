"""examples/ in the cluster: a stream, its report, a Delta table, and a package by an archive."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.cluster import connect
from console.stack import ROOT
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import kill, pods, wait_for
from tests.examples import applications_of, rows

PAGE = (ROOT / "docs" / "applications.md").read_text()
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
WORDS = "/srv/shared/spark/words"


@pytest.fixture(scope="module")
def examples(up: Up, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """All of them, as the settings on top of each say; an update has made them."""
    folder = tmp_path_factory.mktemp("examples")
    words = (ROOT / "examples" / "archive.py").read_text()
    for command in re.findall(r"^    (?:.venv/bin/python -m pip|tar) .*$", words, re.M):
        command = command.strip().replace(".venv", str(ROOT / ".venv"))
        subprocess.run(command, shell=True, check=True, cwd=folder)
    up.make("jars", "NAME=delta")
    shown: dict[str, Any] = {}
    for example in EXAMPLES:
        shown |= applications_of(example, folder)
    up.configure({"applications": shown, "spark": {"jars": ".tinderbox/jars/delta"}})
    try:
        up.stack.up(folder / "events.jsonl")
        yield shown
    finally:
        up.set_back()
        on_volume(up, f"rm -rf {WORDS}")


def on_volume(up: Up, command: str) -> str:
    """What a command prints on a node that has the volume."""
    done = up.ssh(up.control_plane(), f"sudo {command}")
    return done.stdout if done.returncode == 0 else ""


def counted(up: Up, folder: Path) -> Counter[str]:
    """What the stream has counted until now."""
    pack = f"tar cz -C {WORDS} counts | base64 -w0"
    packed = on_volume(up, f"bash -c 'set -o pipefail; {pack}'")
    if not packed:  # a batch takes another's place
        return Counter()
    shutil.rmtree(folder / "counts", ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed)), mode="r:gz") as counts:
        counts.extractall(folder, filter="data")
    return rows(folder / "counts")


def bring(up: Up, text: Path) -> Counter[str]:
    """A text to the stream, by the page's own command; its words."""
    (command,) = re.findall(r"^    (kubectl exec .*)$", PAGE, re.M)
    command = command.replace("README.md", str(text)).replace("readme.txt", text.name)
    with connect(up.stack).kubeconfig() as file:
        env = {**up.stack.env, "KUBECONFIG": str(file)}
        subprocess.run(command, shell=True, check=True, cwd=ROOT, env=env)
    return Counter(re.split(r"[ \t-\r]+", text.read_text().strip()))


def test_a_stream_whose_driver_is_killed_counts_each_word_once(
    up: Up, examples: dict[str, Any], tmp_path: Path
):
    """It runs when the update is done, and no later one thinks that it must make it again."""
    assert up.outputs()["applications"]["words"]["state"] == "running"
    (owner,) = pods(up, "app=words,!spark-role", "Running")
    wait_for(
        "the stream", lambda: on_volume(up, f"ls {WORDS}").split()[:2] == ["checkpoint", "counts"]
    )
    expected = bring(up, ROOT / "README.md")
    wait_for("the first batch", lambda: on_volume(up, f"ls {WORDS}/counts/batch=0/_SUCCESS"))
    expected += bring(up, ROOT / "docs" / "design.md")
    wait_for("the second batch", lambda: on_volume(up, f"ls {WORDS}/checkpoint/offsets/1"))
    kill(up, owner)
    expected += bring(up, ROOT / "docs" / "spark.md")
    wait_for("all words", lambda: counted(up, tmp_path) == expected)
    (again,) = pods(up, "app=words,!spark-role", "Running")
    assert again != owner
    assert up.applications()["words"][1:3] == ["running", "with each change"]
    assert up.changes() == {}
    assert "runs already" in up.make("run", "NAME=words", fails=True)


def test_a_report_a_delta_table_and_a_package_that_came_by_an_archive(
    up: Up, examples: dict[str, Any]
):
    told = up.outputs()["applications"]
    assert told["spelled"]["state"] == "succeeded"
    assert told["spelled"]["result"] == "1.0 million, 2.5 billion"
    files = on_volume(up, f"ls {WORDS}/in").split()
    assert len(files) == 3
    table = up.make("run", "NAME=table")
    assert re.search(r"^(\d+) words; changed: \1$", table, re.M), table
    assert "0 different words" in up.make("run", "NAME=report")
    (day,) = set(re.findall(r"date=(\S+)", on_volume(up, f"ls {WORDS}/counts/batch=0")))
    (command,) = re.findall(r"make (submit .*) 2026-", (ROOT / "examples/nightly.py").read_text())
    app, folder = re.findall(r"(APP=\S+) ARGS=\"(\S+)", command)[0]
    said = up.make("submit", app, f"ARGS={folder} {day}")
    assert re.search(rf"^{day}: \d\d\d+ different words, most often: \S", said, re.M), said
    states = {name: line[1] for name, line in up.applications().items()}
    assert states == {
        **dict.fromkeys(("report", "spelled", "table", "wordcount"), "succeeded"),
        "words": "running",
    }
