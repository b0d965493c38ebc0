"""The stack's own applications, as docs/applications.md has them: each change, each minute."""

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
import yaml

from console.cluster import connect
from console.stack import ROOT
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import kill, pods, wait_for
from tests.examples import applications_of, rows

PAGE = (ROOT / "docs" / "applications.md").read_text()
NAMES = {"pi", "nightly"}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
WORDS = "/srv/shared/spark/words"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the page's program, which may change."""
    folder = tmp_path_factory.mktemp("program")
    for name in ("pi.py", "careful.py", "texts.py"):
        shutil.copy(ROOT / "spark_jobs" / name, folder)
    return folder / "pi.py"


@pytest.fixture(scope="module")
def shown(program: Path) -> dict[str, Any]:
    """The page's settings; pi is of that file."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
    applications = yaml.safe_load(text)["tinderbox:applications"]
    return {**applications, "pi": {**applications["pi"], "app": str(program)}}


@pytest.fixture(scope="module", autouse=True)
def as_it_was(up: Up) -> Iterator[None]:
    """Whatever becomes of these tests, others find the stack without applications."""
    yield
    if "applications" in up.outputs():
        up.make("up")


def apps(up: Up) -> dict[str, list[str]]:
    """What `make apps` shows, by the application's name."""
    lines = [re.split(r"  +", line) for line in up.make("apps").splitlines()]
    return {line[0]: line[1:] for line in lines if line[1:2] == ["spark"]}


def made(up: Up) -> set[str]:
    """What the namespace has of the two: Jobs, CronJobs, pods, files."""
    found = set()
    for kind in ("jobs", "cronjobs", "pods", "configmaps"):
        items = up.get(kind, "-n", "spark")["items"]
        named = {item["metadata"].get("labels", {}).get("app") for item in items}
        found |= {f"{kind}/{name}" for name in named & NAMES}
    return found


def test_the_pages_commands(up: Up, shown: dict[str, Any], tmp_path: Path):
    """pi runs with the update; nightly waits for its time, and runs when it is told to."""
    count = up.outputs()["wordCount"]
    up.configure({"applications": shown})
    assert up.changes().keys() == {"pi", "pi-app", "nightly", "nightly-app"}
    printed = {}
    for command in re.findall(r"^\$ make (.*)$", PAGE, re.M):
        if command == "preview":
            printed[command] = up.pulumi(command)
        elif command == "up":
            # Itself it takes the checkout's settings, which are to stay as they are in git.
            up.stack.up(tmp_path / "events.jsonl")
        else:
            printed[command] = up.make(*command.split())
    assert "application pi will run" in printed["preview"]
    assert re.search(r"^Pi is roughly 3\.1", printed["run NAME=nightly"], re.M)

    outputs = up.outputs()
    assert outputs["wordCount"] == count
    told = outputs["applications"]
    assert told["pi"]["state"] == "succeeded" and told["pi"]["result"].startswith("Pi is roughly")
    assert told["pi"]["usage"]["tasks"] > 0 and told["pi"]["usage"]["cost"]["usd"] > 0
    assert told["nightly"]["state"] == "waiting" and told["nightly"]["usage"] is None

    table = apps(up)
    assert table.keys() == {*NAMES, "wordcount"}
    assert table["pi"][:3] == ["spark", "succeeded", "with each change"]
    assert table["nightly"][:3] == ["spark", "succeeded", "0 3 * * * Europe/Paris"]
    assert table["nightly"][-1].startswith("Pi is roughly")
    assert table["wordcount"][1] == "succeeded"


def test_another_schedule_runs_it_by_itself(up: Up, shown: dict[str, Any], tmp_path: Path):
    each = {**shown["nightly"], "schedule": "* * * * *", "timeZone": None, "keep": 1}
    given = {key: value for key, value in each.items() if value is not None}
    up.configure({"applications": {"nightly": given}})
    assert up.changes() == {"nightly": "update"}
    up.stack.up(tmp_path / "events.jsonl")

    def by_schedule() -> list[str]:
        """Jobs that ended well and that nobody but Kubernetes made."""
        jobs = up.get("jobs", "-n", "spark", "-l", "app=nightly")["items"]
        times = "batch.kubernetes.io/cronjob-scheduled-timestamp"
        return [
            job["metadata"]["name"]
            for job in jobs
            if times in job["metadata"].get("annotations", {}) and job["status"].get("succeeded")
        ]

    wait_for("a run by schedule", by_schedule)
    state, runs = apps(up)["nightly"][1:3]
    assert state in ("succeeded", "running", "waiting") and runs == "* * * * * UTC"


def test_another_file_runs_that_application_again_and_no_other(
    up: Up, program: Path, tmp_path: Path
):
    program.write_text(program.read_text().replace("Pi is roughly", "Pi is about"))
    assert up.changes().keys() == {"pi", "pi-app"}
    said = up.pulumi("preview")
    assert "application pi will run" in said and "application wordcount" not in said
    up.stack.up(tmp_path / "events.jsonl")
    assert up.outputs()["applications"]["pi"]["result"].startswith("Pi is about 3.1")
    # Once more, by hand; the run is the last one, and leaves what the update made.
    assert re.search(r"^Pi is about 3\.1", up.make("run", "NAME=pi"), re.M)
    assert up.changes() == {}


def test_what_goes_takes_all_with_it(up: Up, tmp_path: Path):
    up.configure({"applications": dict.fromkeys(NAMES)})
    assert up.changes().keys() == {"pi", "pi-app", "nightly", "nightly-app"}
    up.stack.up(tmp_path / "events.jsonl")
    assert "applications" not in up.outputs()
    wait_for("all of it to go", lambda: not made(up))
    assert apps(up).keys() == {"wordcount"}


# ---- examples/


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
    up.stack.up(folder / "events.jsonl")
    yield shown
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
    assert apps(up)["words"][1:3] == ["running", "with each change"]
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
    states = {name: line[1] for name, line in apps(up).items()}
    assert states == {
        **dict.fromkeys(("report", "spelled", "table", "wordcount"), "succeeded"),
        "words": "running",
    }
