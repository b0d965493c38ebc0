"""The stack's own applications, as docs/applications.md has them: each change, each minute."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from console.stack import ROOT
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import wait_for

PAGE = (ROOT / "docs" / "applications.md").read_text()
NAMES = {"pi", "nightly"}


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

    table = up.applications()
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
    state, runs = up.applications()["nightly"][1:3]
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
    assert up.applications().keys() == {"wordcount"}
