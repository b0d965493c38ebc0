"""Spark Connect: switched on, used from this machine by `make connect`, and off again."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.stack import ROOT
from console.verbs import notebook
from tests.charts.client import __file__ as CLIENT
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import wait_for
from tests.seen import seen
from toolchain import venv


def start(verb: str) -> subprocess.Popen[str]:
    """make VERB, as it is called by hand."""
    return subprocess.Popen(
        ["make", verb],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    """Ctrl-C; nothing of it stays."""
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=60)
    with pytest.raises(ProcessLookupError):
        wait_for("its end", lambda: os.killpg(process.pid, 0))


@pytest.fixture(scope="module")
def on(up: Up) -> Iterator[None]:
    """The stack with a server; without it again afterwards."""
    up.configure({"spark": {"connect": True}})
    with seen("Spark Connect on"):
        up.pulumi("up", "--yes", "--skip-preview")
    yield
    up.set_back()


@pytest.fixture(scope="module")
def told(on: None) -> Iterator[str]:
    """What `make connect` prints, as long as it forwards."""
    process = start("connect")
    try:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("spark = "):
                break
        yield "".join(lines)
    finally:
        end(process)


@pytest.fixture(scope="module")
def url(told: str) -> str:
    found = re.search(r"^sc://localhost:\d+/;token=\S+$", told, re.M)
    assert found, told
    return found[0]


@pytest.fixture(scope="module")
def images(told: str) -> str:
    """The image's version of Python."""
    found = re.search(r"need Python (\S+), as the image", told)
    assert found, told
    return found[1]


@pytest.fixture(scope="module")
def fitting(images: str) -> str | None:
    """A Python here that is as the image's."""
    return venv.python_of(images)


def ask(told: str, python: str | None, *arguments: str) -> dict[str, object]:
    """What pyspark's client in an environment of its own gets."""
    version = re.search(r"pyspark-client==(\S+) ", told)
    assert version, told
    home = notebook.environment(version[1], python)
    done = subprocess.run(
        [home / "bin" / "python", CLIENT, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=240,
    )
    return json.loads(done.stdout)


@pytest.fixture
def module(tmp_path: Path) -> str:
    file = tmp_path / "module.py"
    file.write_text("# a file\n# from here\nANSWER = 42\n")
    return str(file)


def test_two_sessions_use_it(told: str, url: str, fitting: str | None, module: str):
    found = ask(told, fitting, url, "use", module)
    assert found.pop("spark") == "4.2.0"
    counted = {"cat": 1, "dog": 1, "the": 2}
    assert found == {"counted": counted, "lines": 3, "own": [3, 5]}


@pytest.mark.parametrize("which", ["the image's, where there is one", "the one of the tools"])
def test_functions_need_the_images_python(
    told: str, url: str, images: str, fitting: str | None, module: str, which: str
):
    """With another one Spark says so."""
    python = fitting if which.startswith("the image's") else None
    found = ask(told, python, url, "call", module)
    if python or images == "{}.{}".format(*sys.version_info[:2]):
        assert found == {"answers": [42, 43]}
    else:
        assert "PYTHON_VERSION_MISMATCH" in str(found["error"])


def test_a_wrong_token_is_refused(told: str, url: str, fitting: str | None):
    assert "UNAUTHENTICATED" in str(ask(told, fitting, f"{url}x", "refused")["error"])


def test_the_token_is_in_the_secret_only(up: Up, url: str):
    token = url.rpartition("=")[2]
    secret = up.get("secret", "spark-connect", "-n", "spark")["data"]["secret"]
    assert base64.b64decode(secret).decode() == token
    log = up.kubectl("logs", "-n", "spark", "deployment/spark-connect")
    pods = up.kubectl("get", "pods", "-n", "spark", "-o", "json")
    ran = up.kubectl("exec", "-n", "spark", "deployment/spark-connect", "--", "ps", "axww")
    assert "SparkConnectServer" in ran
    for text in (log, pods, ran, json.dumps(up.stack.state()), up.event_logs()):
        assert token not in text and secret not in text


def test_its_executors_leave_the_cores_to_others(up: Up, told: str):
    def cores() -> list[int]:
        path = "/api/v1/namespaces/spark/services/http:spark-master:8080/proxy/json/"
        apps = json.loads(up.kubectl("get", "--raw", path))["activeapps"]
        return [app["cores"] for app in apps if app["name"] == "connect"]

    wait_for("free cores", lambda: cores() == [0])
    assert up.changes() == {}


def test_make_notebook_runs_jupyter_beside_it(up: Up, told: str):
    process = start("notebook")
    try:
        assert process.stdout
        address = r"http://127\.0\.0\.1:\d+/lab\?token=\w+"
        assert any(re.search(address, line) for line in process.stdout)
        assert (ROOT / ".tinderbox" / "notebooks" / "wordcount.ipynb").exists()
    finally:
        end(process)


def test_off_again_nothing_is_left(up: Up, told: str):
    """The last here: `told` ends after it."""
    up.set_back()
    listed = ("get", "all,secrets,configmaps", "-n", "spark", "-o", "name")
    wait_for("the end of its pod", lambda: "connect" not in up.kubectl(*listed))
    said = up.make("connect", fails=True)
    assert "stack local has no Spark Connect server: set spark.connect to true" in said
