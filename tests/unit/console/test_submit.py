"""The command line of `make submit`: what becomes of it, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from console import __main__, run
from console.stack import ConsoleError
from console.verbs import submit
from submission.application import Application
from submission.errors import ApplicationError
from submission.manifests import manifests
from submission.resolve import resolve
from tests.place import PLACE


def described(*arguments: str) -> Application:
    """The application of a command line."""
    return submit.describe(submit.VERB.parser("submit").parse_args(list(arguments)))


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("spark_jobs/pi.py", "pi"),
        ("/tmp/My_Job.2.py", "my-job-2"),
        ("http://host:80/a/b/3d.py", "app-3d"),
        ("local:///opt/_.py", "app"),
        ("x" * 40 + ".py", "x" * 32),
        ("x" * 31 + "-y.py", "x" * 31),
    ],
)
def test_an_application_is_named_after_its_file(app, name):
    assert described(app).name == name


def test_options_are_those_of_spark_submit():
    app = described(
        *("--master", "kubernetes", "--deploy-mode", "cluster", "--name", "mine"),
        *("--class", "a.B", "--conf", "spark.x=1=2", "--conf", "spark.y=$(POD)"),
        *("--jars", "a.jar,s3a://b/c.jar", "--py-files", "d.py", "--files", "e,f"),
        *("--archives", "g.zip#env", "--num-executors", "3", "--executor-cores", "2"),
        *("--executor-memory", "2g", "--driver-memory", "512m", "--image", "host/mine:1"),
        "app.jar",
    )
    assert (app.master, app.deploy_mode, app.name) == ("kubernetes", "cluster", "mine")
    assert app.main_class == "a.B"
    assert app.conf == {"spark.x": "1=2", "spark.y": "$(POD)"}
    assert app.jars == ("a.jar", "s3a://b/c.jar") and app.py_files == ("d.py",)
    assert app.files == ("e", "f") and app.archives == ("g.zip#env",)
    assert (app.instances, app.executor.cores, app.executor.memory_mib) == (3, 2, 2048)
    assert app.driver.memory_mib == 512
    assert app.driver.image == app.executor.image == "host/mine:1"


def test_what_follows_the_application_is_its_own():
    app = described("--name", "pi", "pi.py", "--name", "x", "$HOME", "a b")
    assert app.name == "pi"
    assert app.arguments == ("--name", "x", "$$HOME", "a b")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--conf", "spark.x", "pi.py"], "--conf spark.x: write spark.PROPERTY=VALUE"),
        (["--conf", "x=1", "pi.py"], "x=1 is no property: write spark.PROPERTY=VALUE"),
        (
            ["--num-executors", "0", "pi.py"],
            r"--num-executors \(instances\)=0 must be a whole number from 1",
        ),
        (
            ["--executor-cores", "-1", "pi.py"],
            r"--executor-cores \(executor.cores\)=-1 must",
        ),
        (["--executor-memory", "much", "pi.py"], "--executor-memory=much is no size"),
        (["--start-within", "0", "pi.py"], r"--start-within \(start_within\)=0 must be a whole"),
        (["--wait", "0", "pi.py"], "--wait=0 must be a whole"),
        (["--driver-memory", "300m", "pi.py"], "driver.memory=300m is less than Spark starts with"),
        (["--image", "My Image", "pi.py"], "driver image=My Image is not taken by Kubernetes"),
        (["--priority-class", "Batch", "pi.py"], "priority class=Batch is not taken by Kubernetes"),
        (["--toleration", "gpu:Never", "pi.py"], "driver toleration's effect=Never must be one"),
        (["--toleration", "a/b/c", "pi.py"], "driver toleration=a/b is not taken by Kubernetes"),
        (["--master", "local[2]", "pi.py"], r"there is no master 'local\[2\]'"),
        (["pi.sh"], "pi.sh is none of .py, .jar and .R"),
        (["pi.jar"], r"say which class to run \(--class\)"),
    ],
)
def test_what_is_refused(arguments, said):
    with pytest.raises(ApplicationError, match=said):
        described(*arguments)


@pytest.mark.parametrize("option", ["--start-within", "--wait"])
@pytest.mark.parametrize("text", ["0", "-1", "0.5", "5m", "soon", "", "nan", "inf", "9" * 12])
def test_a_time_to_wait_is_whole_seconds(option, text, capsys):
    """In one line: the command line's own where it is no number, else the application's."""
    with pytest.raises((SystemExit, ApplicationError)) as refused:
        described(f"{option}={text}", "pi.py")
    said = capsys.readouterr().err or str(refused.value)
    assert len(said.splitlines()) == 1 and option in said and text in said


def test_a_wrong_command_line_is_one_line(capsys):
    with pytest.raises(SystemExit):
        described("--no-such", "pi.py")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_stack_without_spark_says_what_makes_it(monkeypatch, capsys):
    class Stack:
        name = "local"

        def __init__(self, name: str) -> None:
            self.there = name == "half"

        def exists(self) -> bool:
            return self.there

        def mark(self, what: str) -> Path:
            return Path("/nonexistent")

        def outputs(self, *, secrets: bool) -> dict:
            return {"kubeconfig": "x"}

    monkeypatch.setattr(submit, "Stack", Stack)
    assert __main__.main(["submit", "spark_jobs/pi.py"]) == 1
    assert capsys.readouterr().err == "submit: there is no stack local; `make up` makes one\n"
    assert __main__.main(["submit", "--stack", "half", "spark_jobs/pi.py"]) == 1
    assert "has no Spark; `make up` brings it" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said_before_the_stack_is_asked(capsys, monkeypatch):
    def connect(stack):
        raise ConsoleError("the stack was asked")

    monkeypatch.setattr(submit, "connect", connect)
    assert __main__.main(["submit", "no/such.py"]) == 1
    assert "no/such.py can't be read: No such file" in capsys.readouterr().err


def test_the_time_that_an_upload_takes_is_not_waited_away(monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(run.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(run.time, "sleep", lambda seconds: None)
    receiver = {"name": "files", "state": {"running": {}}}
    waiting = {"phase": "Pending", "initContainerStatuses": [receiver]}
    seen = iter([waiting, {"phase": "Pending"}, {"phase": "Running"}])

    def changes(*_: object, **__: object) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "ADDED", {"metadata": {"name": "pod"}, "status": next(seen)}

    monkeypatch.setattr(run, "changes", changes)
    application = Application("pi", "local:///opt/pi.py")
    made = manifests(resolve(application, PLACE), can_upload=True)
    job = run.Run(client.ApiClient(), "pi-1", made)
    monkeypatch.setattr(run, "facts", lambda *_: {})
    monkeypatch.setattr(job, "_upload", lambda pod: now.__setitem__(0, now[0] + 1000))
    assert job.wait_for_pod(300) == "pod"
