"""`make why` and `make logs`: which run is meant, and what is told of it, with and without pods."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from console import __main__, failures
from console.stack import ConsoleError, Stack
from console.verbs import logs, up
from console.verbs import why as verb
from submission.facts import attempt, end_of
from submission.programs import FOLDER, script
from toolchain import terminal

APP, POD = "app-20261126100000-0001", "pi-3f2a1c-x7k2p"
TOLD: dict[str, Any] = {
    **{"run": POD, "application": APP, "at": 1795690000.0, "code": 1, "cause": "memory"},
    **{
        "line": "executor 1 was killed for memory: it asked for 1024 MiB",
        "more": ["exit code 137"],
    },
    "executors": [{"id": "1", "host": "10.244.1.9", "ended": "exit code 137", "askedMiB": 1024}],
}


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all runs' usage; what would run in the master's pod runs here."""

    def run_in_pod(api: Any, namespace: str, pod: str, command: list[str], within: float) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout

    folder = tmp_path / "usage"
    folder.mkdir()
    monkeypatch.setattr("console.volume.run_in_pod", run_in_pod)
    monkeypatch.setattr("console.volume._USAGE", str(folder))
    return folder


def store(volume: Path, folder: str, then: float, log: str = "", **told: Any) -> None:
    """A run's files, written then."""
    (volume / folder).mkdir()
    files = {"driver.log": log} | ({"why.json": json.dumps(told) + "\n"} if told else {})
    for name, text in files.items():
        (volume / folder / name).write_text(text)
        os.utime(volume / folder / name, (then, then))


class Cluster:
    """Jobs and pods as the API tells of them, and the log of each pod."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.pods: list[dict[str, Any]] = []
        self.logs: dict[str, str] = {}

    def add(self, job: str, began: str, **status: Any) -> None:
        """A Job with a pod."""
        self.jobs.append({"metadata": {"name": job, "creationTimestamp": began}, "status": {}})
        labels = {"batch.kubernetes.io/job-name": job}
        metadata = {"name": f"{job}-x7k2p", "labels": labels, "creationTimestamp": began}
        self.pods.append({"metadata": metadata, "spec": {}, "status": status})

    def facts(self, api: object, namespace: str, job: str) -> dict[str, Any]:
        pods = attempt(job, self.pods)
        (known,) = [one for one in self.jobs if one["metadata"]["name"] == job]
        return {"pods": pods, "events": [], "job": known} | end_of(pods)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(failures, "facts", made.facts)
    listed = type("Jobs", (), {"list_namespaced_job": lambda _, namespace: {"items": made.jobs}})
    monkeypatch.setattr(client, "BatchV1Api", lambda api: listed())
    monkeypatch.setattr(failures, "connect", lambda stack: (client.ApiClient(), ["spark"]))
    monkeypatch.setattr(__main__, "enter", lambda local: None)
    monkeypatch.setattr(terminal, "_prepare", lambda: None)
    monkeypatch.setattr(
        logs, "_of_pod", lambda api, namespace, pod: made.logs[f"{namespace}/{pod}"].encode()
    )
    return made


def ended(code: int, message: str = "") -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": "Error", "message": message}}
    return {"phase": "Failed", "containerStatuses": [{"name": "driver", "state": state}]}


def make(verb: str, capfd: pytest.CaptureFixture, run: str = "") -> str:
    """What `make VERB RUN=` prints."""
    assert __main__.main([verb, f"--run={run}"]) == 0
    return capfd.readouterr().out


@pytest.mark.parametrize("run", ["", APP, POD, "pi-3f2a1c"])
def test_a_run_whose_pods_are_gone_is_told_from_the_volume(volume, cluster, capfd, run):
    store(volume, "app-0", 1.0, "older\n", **{**TOLD, "run": "other-x", "line": "other"})
    store(volume, APP, 2.0, "first\nlast\n", **TOLD)
    said = make("why", capfd, run)
    assert said.splitlines()[0].startswith(f"{POD} ({APP}), exit code 1, ")
    assert said.splitlines()[2:4] == [TOLD["line"], "  exit code 137"]
    assert "That is: killed for memory" in said
    assert "asked MiB" in said and " 1024 " in said
    assert said.endswith("  first\n  last\n")
    assert make("logs", capfd, run) == "first\nlast\n"


def test_a_log_of_two_parts_is_one_and_an_executors_is_there(volume, cluster, capfd):
    store(volume, APP, 2.0, "last\n", **TOLD)
    (volume / APP / "driver.log.1").write_text("first\n")
    (volume / APP / "executor-1.log").write_text("of one\n")
    assert make("logs", capfd) == "first\nlast\n"
    assert __main__.main(["logs", "--executor=1"]) == 0
    assert capfd.readouterr().out == "of one\n"
    assert __main__.main(["logs", "--executor=2"]) == 1
    assert capfd.readouterr().err == "logs: there is no log of executor 2 of any run\n"


def test_a_driver_that_was_killed_whole_has_left_its_log(volume, cluster, capfd):
    """measured.py, too, was killed: the files are in the pod's own folder, and no why.json."""
    store(volume, POD, 2.0, "began\n")
    for run in ("", POD, "pi-3f2a1c"):
        assert make("logs", capfd, run) == "began\n"
    cluster.add("pi-3f2a1c", "2026-11-26T10:00:00Z", **ended(137))
    cluster.pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    said = make("why", capfd)
    assert "the driver was killed for memory" in said and "  began\n" in said


def test_a_job_that_is_there_is_asked_first(volume, cluster, capfd):
    store(volume, APP, 2.0, "kept\n", **TOLD)
    cluster.add("pi-3f2a1c", "2026-11-26T10:00:00Z", **ended(1, TOLD["line"]))
    cluster.logs[f"spark/{POD}"] = "whole\n"
    assert make("logs", capfd, APP) == make("logs", capfd, POD) == make("logs", capfd) == "whole\n"
    said = make("why", capfd, "pi-3f2a1c")
    assert TOLD["line"] in said and "exit code 137" in said  # what only the volume knows


def test_the_latest_is_meant_where_none_is_named(volume, cluster, capfd):
    told: dict[str, Any] = TOLD | {"run": "older-a1", "at": 1795689000.0}
    store(volume, APP, 2.0, **told)
    waits = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    cluster.add("pi-3f2a1c", "2026-11-26T20:00:00Z", phase="Pending", conditions=[waits])
    assert f"no node fits {POD}: 0/3 nodes are available" in make("why", capfd)
    assert TOLD["line"] in make("why", capfd, APP)
    cluster.jobs[0]["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    cluster.pods[0]["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    assert TOLD["line"] in make("why", capfd)


def test_a_run_that_nobody_knows_is_a_line(volume, cluster, capfd):
    assert __main__.main(["why", "--run=nope"]) == 1
    said = "why: there is no run nope; one is named by application, pod or Job\n"
    assert capfd.readouterr().err == said
    assert __main__.main(["why"]) == 1
    assert "there is no application that has run" in capfd.readouterr().err


def test_names_that_the_shell_would_run_are_names(volume, cluster, capfd):
    store(volume, APP, 2.0, "kept\n", **TOLD)
    for run in ("$(touch made)", "a b", "--help", "../usage", "*"):
        assert __main__.main(["logs", f"--run={run}"]) == 1, run
    assert not Path("made").exists()


def test_a_screen_holds_it(volume, cluster, capfd, monkeypatch):
    many = [{"id": str(n), "host": "h", "ended": "x" * 900} for n in range(200)]
    store(volume, APP, 2.0, "y" * 500 + "\n" * 500, **{**TOLD, "executors": many})
    monkeypatch.setattr(verb, "columns", lambda: 80)
    said = make("why", capfd).splitlines()
    assert len(said) <= 24 and max(map(len, said)) <= 80
    assert "  and 195 more" in said


def test_what_failed_is_a_line_each(cluster):
    cluster.add("fine", "2026-11-26T10:00:00Z", phase="Running")
    cluster.add("pi-3f2a1c", "2026-11-26T10:00:00Z", **ended(3, "app: no such file"))
    assert failures.of_stack(client.ApiClient(), ["spark"]) == [
        "pi-3f2a1c failed: app: no such file"
    ]


def test_an_update_that_fails_says_it_too(cluster, capfd, monkeypatch):
    cluster.add("wordcount", "2026-11-26T10:00:00Z", **ended(2, "wordcount: x: hidden"))
    up.tell_why(Stack("local"))
    assert capfd.readouterr().err == "up: wordcount failed: wordcount: x: hidden\n"

    def none(_: Stack) -> None:
        raise ConsoleError("there is no stack local; `make up` makes one")

    monkeypatch.setattr(failures, "connect", none)
    up.tell_why(Stack("local"))
    assert capfd.readouterr().err == ""


def test_the_last_attempt_with_what_it_made_and_the_workers():
    def pod(name: str, began: str = "2", **labels: str) -> dict[str, Any]:
        metadata = {"name": name, "labels": labels, "creationTimestamp": began}
        return {"metadata": metadata, "status": {}}

    job = {"batch.kubernetes.io/job-name": "pi"}
    worker = pod("w", **{"app.kubernetes.io/component": "worker"})
    first, last = pod("pi-a", "1", **job), pod("pi-b", "2", **job)
    pods = [last, pod("pi-b-exec-1"), pod("pi-a-exec-1"), pod("pi-bb"), worker, first]
    names = [one["metadata"]["name"] for one in attempt("pi", pods)]
    assert names == ["pi-b", "pi-b-exec-1", "w"]
    assert attempt("other", pods) == []
    first["status"] = {"phase": "Succeeded"}
    assert attempt("pi", pods)[0] is first


def test_a_volume_that_can_not_be_asked_is_no_reason_to_say_nothing(cluster, monkeypatch, capfd):
    def fails(*_: object) -> str:
        raise ConsoleError("pod spark-master-0 not found")

    monkeypatch.setattr(failures, "on_volume", fails)
    cluster.add("pi-3f2a1c", "2026-11-26T10:00:00Z", **ended(3, "app: no such file"))
    assert "app: no such file" in make("why", capfd)
    assert __main__.main(["why", "--run=nope"]) == 1
    assert "(the volume can't be asked: pod spark-master-0 not found)" in capfd.readouterr().err


def test_what_is_kept_goes_after_days_but_for_the_usage(tmp_path: Path) -> None:
    """As the history server's container runs it; its hour is a moment here."""
    for name, days in (("old", 15), ("new", 13)):
        for file in ("usage.json", "why.json", "driver.log", "executor-0.jsonl"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).touch()
            then = (tmp_path / name / file).stat().st_mtime - days * 86400
            os.utime(tmp_path / name / file, (then, then))
    (tmp_path / "killed").mkdir()
    os.utime(tmp_path / "killed", (1, 1))
    (tmp_path / "starts").mkdir()
    clean = (FOLDER / "clean_usage.sh").read_text()
    words = f"{clean}\nsleep() {{ exit; }}\nclean_usage {tmp_path} 14\n"
    subprocess.run(["bash", "-euo", "pipefail", "-c", words], check=True)
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")}
    new = {f"new/{file}" for file in ("usage.json", "why.json", "driver.log", "executor-0.jsonl")}
    assert left == {"old", "old/usage.json", "new", "starts", *new}


def test_scripts_are_the_ones_that_are_linted() -> None:
    assert "cat driver.log.1" in script("kept_run.sh") and "why.json" in script("keep_why.sh")
