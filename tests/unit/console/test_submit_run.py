"""`make submit` while an application runs: its log, and whatever ends either of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cluster_driver
import pytest
from kubernetes import client

from console import __main__, cluster, run
from console.verbs import submit
from submission.conf import JOB_LABEL
from tests.place import PLACE
from tests.unit.kube_server import Kube, serving
from tests.unit.kubelet import SECOND
from toolchain import terminal
from toolchain.terminal import shown

ROOT = Path(__file__).parents[3]
LINES = [
    (0, b"one\n"),
    (1, b"\xff\xfe no text\r\n"),
    (SECOND, b"." * 2**14),
    (SECOND * 4, b"." * 2**14),
    (SECOND * 5, b"\n"),
    (SECOND * 6, b"the end\n"),
]


@pytest.fixture
def kube() -> Kube:
    made = Kube()
    made.kubelet.entries = list(LINES)
    return made


@pytest.fixture
def url(kube: Kube) -> Iterator[str]:
    with serving(kube) as found:
        yield found


@pytest.fixture
def here(url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """submit's main in this process, without a moment's wait."""
    api = client.ApiClient(client.Configuration(host=url))
    monkeypatch.setattr(submit, "connect", lambda stack, namespace: (api, PLACE))
    monkeypatch.setattr(__main__, "enter", lambda local: None)
    monkeypatch.setattr(terminal, "_prepare", lambda: None)
    monkeypatch.setattr(run, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(cluster_driver, "LOOK_EVERY", 0.0)
    return lambda *arguments: __main__.main(["submit", *arguments, "spark_jobs/pi.py"])


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all runs' usage; what would run in the master's pod runs here."""

    def run_in_pod(api: Any, namespace: str, pod: str, command: list[str], within: float) -> str:
        assert (namespace, pod) == ("spark", "spark-master-0")
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    monkeypatch.setattr("console.volume.run_in_pod", run_in_pod)
    monkeypatch.setattr("console.volume._USAGE", str(tmp_path / "usage"))
    (tmp_path / "usage").mkdir()
    return tmp_path / "usage"


BREAKS = [
    [],
    [{"bytes": 0}],
    [{"bytes": 20}, {"bytes": 90}],
    [{"bytes": 9000}, {"bytes": 20000}, {"status": 500}, {"bytes": 33000}],
]


@pytest.mark.parametrize("replies", BREAKS)
def test_a_log_that_breaks_off_is_shown_once_and_whole(here, kube, capfdbinary, replies):
    kube.replies = replies
    kube.end(7)
    assert here() == 7
    assert capfdbinary.readouterr().out == kube.kubelet.text
    assert kube.deleted and not kube.jobs


@pytest.mark.parametrize(
    ("code", "why", "said"),
    [
        (2, "app: no such file\x1b[2J", ["submit: the driver failed: app: no such file\\x1b[2J"]),
        (1, "a log's\nlast line", ["submit: the driver failed: last line"]),
        (0, "done", []),
    ],
)
def test_why_a_driver_failed_is_the_last_that_is_said_and_kept(
    here, kube, capfd, volume, code, why, said
):
    kube.end(code, why)
    assert here() == code
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if "failed" in line] == said == lines[len(lines) - len(said) :]
    kept = [json.loads((volume / "pod" / "why.json").read_text())] if code else []
    assert [(one["run"], one["code"], shown(one["line"])) for one in kept] == [
        ("pod", code, line.removeprefix("submit: the driver failed: ")) for line in said
    ]
    assert list(volume.iterdir()) == [volume / "pod"] * len(kept)


def test_what_waits_for_room_asks_for_nothing_but_its_own_pods(here, kube, capfd):
    """And is told of them, rather than asking again and again."""
    kube.has_room.clear()
    kube.end(0)
    threading.Timer(1.5, kube.has_room.set).start()
    assert here() == 0
    waits = [query for query in kube.watched if "labelSelector" in query]
    assert [query["labelSelector"] for query in waits] == [[f"{JOB_LABEL}={kube.deleted[0]}"]]
    assert kube.listed == ["/api/v1/nodes"]  # before anything is made
    assert ": no node fits pod: too full\n" in capfd.readouterr().err


def test_what_never_gets_room_says_why_and_goes(here, kube, capfd, volume):
    kube.has_room.clear()
    assert here("--wait", "1") == 1
    said = capfd.readouterr().err
    assert "submit: no driver after 1 s: no node fits pod: too full\n" in said
    assert kube.deleted and not kube.jobs
    assert json.loads((volume / "pod" / "why.json").read_text())["cause"] == "no node"


def test_what_a_quota_refuses_says_so_and_lists_no_pods_of_others(here, kube, capfd):
    kube.refused = "exceeded quota: team"
    assert here("--wait", "2") == 1
    why = "the namespace's quota is used up: exceeded quota: team"
    assert f"submit: no driver after 2 s: {why}\n" in capfd.readouterr().err
    pods = {path for path in kube.listed if "/pods" in path}
    assert pods == {f"/api/v1/namespaces/apps/pods?labelSelector={JOB_LABEL}={kube.deleted[0]}"}


def test_what_is_gone_is_not_asked_to_go_again(here, kube, monkeypatch):
    asked: list[str] = []
    answer = kube.answer
    monkeypatch.setattr(kube, "answer", lambda *call: asked.append(call[0]) or answer(*call))
    kube.end(0)
    assert here() == 0
    assert asked.count("DELETE") == 1


def test_who_submits_is_whom_the_cluster_knows_unless_a_label_says_it(here, kube, monkeypatch):
    made: list[Any] = []
    answer = kube.answer
    monkeypatch.setattr(kube, "answer", lambda *call: made.append(call[2]) or answer(*call))
    kube.end(0)
    for words, user in (([], "ann"), (["--label", "user=bob"], "bob")):
        assert here(*words) == 0
        job = [one for one in made if one and one.get("kind") == "Job"][-1]
        arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
        assert f"spark.tinderbox.user={user}" in arguments
    assert "spark.tinderbox.labels=user=bob" in arguments
    assert job["spec"]["template"]["metadata"]["labels"]["user"] == "bob"


def test_what_can_not_be_kept_is_a_line_and_no_other_exit_code(here, kube, capfd, monkeypatch):
    """There is no pod with the volume to ask."""
    kube.end(3, "no")
    assert here() == 3
    kept, why = capfd.readouterr().err.splitlines()[-2:]
    assert kept.startswith("submit: why it failed is not kept: ")
    assert why == "submit: the driver failed: no"


def test_a_driver_outlives_an_api_that_is_away_for_a_while(here, kube, capfdbinary, monkeypatch):
    kube.away = 3
    kube.end(0)
    assert here() == 0
    assert capfdbinary.readouterr().out == kube.kubelet.text
    monkeypatch.setattr(run, "_BACK_WITHIN", -1.0)
    kube.away = 3
    assert here() == 1
    assert b"submit: starting\n" in capfdbinary.readouterr().err
    assert not kube.jobs


@pytest.mark.parametrize("code", [0, 3])
def test_a_driver_outlives_an_api_that_is_busy(here, kube, capfdbinary, monkeypatch, code):
    """Whatever it is asked, it answers at the second time only, as one that lags behind etcd."""
    monkeypatch.setattr(cluster, "_AGAIN", 0.0)
    kube.is_busy = True
    kube.end(code)
    assert here() == code
    assert capfdbinary.readouterr().out == kube.kubelet.text
    assert kube.deleted and not kube.jobs


@pytest.fixture
def stays(kube: Kube, url: str, monkeypatch: pytest.MonkeyPatch) -> run.Run:
    """A run as `make run` has it. Its Job tells of a second try, and only later that it is over."""
    monkeypatch.setattr(run, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(cluster_driver, "LOOK_EVERY", 0.0)
    looks = iter(["pod", "pod", "again", "again", None])
    answer = kube.answer

    def job(method: str, path: str, body: Any) -> tuple[int, Any]:
        if method != "GET" or "/jobs/" not in path or kube.code is None:
            return answer(method, path, body)
        kube.pod, was = next(looks) or kube.pod, kube.pod
        kube.code = kube.code if kube.pod == was else 0
        is_over = {"type": "Complete", "status": "True"}
        seen.append(kube.pod)
        return 200, {"status": {"conditions": [is_over] if len(seen) == 5 else []}}

    seen: list[str] = []
    monkeypatch.setattr(kube, "answer", job)
    monkeypatch.setattr(run, "facts", lambda *_: {})
    made = {"metadata": {"namespace": "apps"}, "spec": {"template": {}}}
    api = client.ApiClient(client.Configuration(host=url))
    return run.Run(api, "pi-1", run.Manifests(None, made), "run")


@pytest.mark.parametrize("is_busy", [False, True])
def test_what_stays_has_ended_when_kubernetes_says_so_of_its_last_try(
    stays, kube, capfdbinary, monkeypatch, is_busy
):
    monkeypatch.setattr(cluster, "_AGAIN", 0.0)
    kube.is_busy = is_busy
    kube.end(3, "no")
    assert stays.run(5, keep=True) == 0
    assert capfdbinary.readouterr().out == 2 * kube.kubelet.text
    assert kube.jobs == ["pi-1"] and not kube.deleted


def test_of_what_has_no_end_the_start_is_all(stays, kube, capfd):
    assert stays.run(5, keep=True, has_end=False) == 0
    out, said = capfd.readouterr()
    assert not out and "run: it runs, and has no end: kubectl logs -f -n apps pod" in said
    assert kube.jobs == ["pi-1"] and not kube.deleted


def test_a_job_that_can_not_be_taken_away_is_said(here, kube, capfdbinary, monkeypatch):
    def refused(method: str, path: str, body: Any) -> tuple[int, Any]:
        return (403, {"message": "no"}) if method == "DELETE" else answer(method, path, body)

    answer = kube.answer
    monkeypatch.setattr(kube, "answer", refused)
    monkeypatch.setattr(run, "_GONE_WITHIN", 0.2)
    kube.end(0)
    assert here() == 0
    (name,) = kube.jobs
    said = f"submit: job {name} may run on: kubectl delete job -n apps {name}"
    assert capfdbinary.readouterr().err.decode().splitlines()[-1] == said


PROGRAM = """
import os, sys
from kubernetes import client
from console.__main__ import main
from console.verbs import submit
from tests.place import PLACE
api = client.ApiClient(client.Configuration(host=sys.argv.pop(1)))
submit.connect = lambda stack, namespace: (api, PLACE)
sys.exit(main(["submit", "spark_jobs/pi.py"]))
"""


def start(
    url: str,
    *before: str,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """It in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*before, sys.executable, "-c", PROGRAM, url]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdin=stdin, stdout=stdout, stderr=stderr)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGTERM, 143)]
)
def test_a_signal_takes_the_application_away(kube, url, number, code):
    kube.replies = [{"follows": True}]
    process = start(url, stdout=subprocess.DEVNULL)
    assert kube.was_read.wait(60)
    process.send_signal(number)
    if number != signal.SIGINT:
        process.send_signal(number)  # a shell and its terminal both say so
    _, said = process.communicate(timeout=180)
    assert process.returncode == code
    # Of a terminal that is closed nothing can be said.
    said_so = b"submit: the application is ended and taken away\n" in said
    assert said_so == (number != signal.SIGHUP)
    assert kube.deleted and not kube.jobs


def test_nohup_is_heeded(kube, url):
    kube.replies = [{"follows": True}]
    process = start(url, "nohup")
    assert kube.was_read.wait(60)
    process.send_signal(signal.SIGHUP)
    kube.end(5)
    assert process.communicate(timeout=180)[0] == kube.kubelet.text
    assert process.returncode == 5


def test_a_terminal_that_is_gone_takes_the_application_away(kube, url):
    """SIGHUP, and neither stdout nor stderr leads anywhere."""
    kube.replies = [{"follows": True}]
    ours, theirs = os.openpty()
    process = start(url, "setsid", "--ctty", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert kube.was_read.wait(60)
    os.close(ours)
    assert process.wait(60) in (129, 128 + signal.SIGPIPE, 1)
    assert kube.deleted and not kube.jobs


def test_a_reader_that_goes_ends_it_quietly(kube, url):
    more = b"." * 1000 + b"\n"  # than a pipe holds
    kube.kubelet.entries += [(SECOND * 7 + index, more) for index in range(500)]
    process = start(url)
    assert process.stdout is not None and process.stdout.readline() == b"one\n"
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read().decode().splitlines()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert said[1:] == ["submit: the application is ended and taken away", "submit: stopped"]
    assert kube.deleted and not kube.jobs


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [
        (">/dev/full", "stdout takes no more of the log: No space left on device"),
        (">&-", "stdout is closed"),
    ],
)
def test_a_stdout_that_takes_nothing(kube, url, redirection, reason):
    process = start(url, "sh", "-c", f'"$@" {redirection}', "sh")
    said = process.communicate(timeout=180)[1].decode().splitlines()
    assert process.returncode == 1
    assert said[1:] == ["submit: the application is ended and taken away", f"submit: {reason}"]
    assert kube.deleted and not kube.jobs
