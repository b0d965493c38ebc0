"""charts/spark/files/cluster_driver.py: the Job's pod ends as the driver that it submitted."""

from __future__ import annotations

import http.client
import json
import subprocess
from contextlib import nullcontext
from typing import Any
from unittest import mock

import cluster_driver
import last_words
import pytest
from cluster_driver import LogError

TEMPLATE = {"kind": "Pod", "metadata": {"labels": {}}, "spec": {"containers": [{"name": "driver"}]}}


def status(phase: str, **container) -> dict:
    """A pod as the API tells of it."""
    statuses = [{"name": "driver", "state": container}] if container else []
    return {"status": {"phase": phase, "containerStatuses": statuses}}


def ended(code: int, reason: str = "Error") -> dict:
    """The driver's pod when its container has ended."""
    terminated = {"exitCode": code, "reason": reason}
    return status("Failed" if code else "Succeeded", terminated=terminated)


RUNNING = status("Running", running={})
ONE, TWO = (b"2026-11-26T01:00:00.%dZ %s\n" % line for line in ((1, b"one"), (2, b"two")))


class Api:
    """The API: tells of the pod what is next, the last for ever."""

    def __init__(self, pods: list[dict | None], logs: list[Any]) -> None:
        self.pods, self.logs = pods, logs
        self.deleted: list[str] = []

    def pod(self, name: str) -> dict | None:
        assert name == "job-driver"
        return self.pods.pop(0) if len(self.pods) > 1 else self.pods[0]

    def log(self, name: str, container: str, since: str | None):
        for piece in self.logs.pop(0) if self.logs else []:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def delete(self, name: str) -> None:
        self.deleted.append(name)


@pytest.fixture
def submit(tmp_path, monkeypatch):
    """Runs the program with a spark-submit of the test's; gives its exit code and the Api."""
    template = tmp_path / "driver-pod.json"
    template.write_text(json.dumps(TEMPLATE))
    program = tmp_path / "spark-submit"
    uploads = tmp_path / "uploads"
    for key, value in {
        "POD": "job-1",
        "POD_UID": "uid-1",
        "JOB": "job",
        "UPLOADS": str(uploads),
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
    }.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(cluster_driver, "LOOK_EVERY", 0.0)

    def call(pods=(), logs=(), script="") -> tuple[int, Api]:
        program.write_text(f"#!/bin/bash\nmkdir -p {uploads}/x\n{script}\n")
        program.chmod(0o755)
        api = Api(list(pods), list(logs))
        monkeypatch.setattr(cluster_driver, "Api", lambda server: api)
        code = cluster_driver.main(
            [str(template), "job-driver", "--", str(program), "--master", "k8s://x", "a b"]
        )
        assert not uploads.exists()
        return code, api

    return call


@pytest.mark.parametrize("code", [0, 3, 137])
def test_the_drivers_exit_code_is_its_own_and_its_log_is_shown(submit, capfdbinary, code):
    pods = [status("Pending"), RUNNING, RUNNING, ended(code)]
    assert submit(pods, [[ONE, TWO]])[0] == code
    assert capfdbinary.readouterr().out == b"one\ntwo\n"


def test_a_driver_that_ended_before_it_was_seen_shows_its_log_all_the_same(submit, capfdbinary):
    assert submit([ended(4)], [[ONE]])[0] == 4
    assert capfdbinary.readouterr().out == b"one\n"


def test_a_log_that_breaks_off_goes_on(submit, capfdbinary):
    logs = [[ONE[:-2], LogError("the driver's log broke off: reset")], [ONE, TWO]]
    assert submit([RUNNING, ended(0)], logs)[0] == 0
    captured = capfdbinary.readouterr()
    assert captured.out == b"one\ntwo\n"
    assert b"the driver's log broke off: reset" in captured.err


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (TimeoutError(), None),
        (ConnectionResetError("reset"), "broke off: reset"),
        (http.client.IncompleteRead(b""), "broke off: IncompleteRead"),
    ],
)
def test_how_a_log_breaks_off(monkeypatch, tmp_path, error, raised):
    (tmp_path / "namespace").write_text("apps\n")
    monkeypatch.setattr(cluster_driver, "ACCOUNT", tmp_path)
    api = cluster_driver.Api("https://10.0.0.1:443")
    reply = mock.Mock(status=200, read1=mock.Mock(side_effect=[ONE, error]))
    request = mock.Mock(return_value=reply)
    monkeypatch.setattr(api, "request", request)
    log = api.log("job-driver", "driver", "2026-11-26T01:00:00Z")
    assert next(log) == ONE
    with pytest.raises(LogError, match=raised) if raised else nullcontext():
        assert list(log) == []
    assert request.call_args.kwargs["sinceTime"] == "2026-11-26T01:00:00Z"


def test_an_api_that_is_away_for_a_while_is_waited_for(monkeypatch, tmp_path):
    (tmp_path / "namespace").write_text("apps\n")
    monkeypatch.setattr(cluster_driver, "ACCOUNT", tmp_path)
    monkeypatch.setattr(cluster_driver, "LOOK_EVERY", 0.0)
    api = cluster_driver.Api("https://10.0.0.1:443")
    away = [ConnectionRefusedError("away")]
    away += [mock.Mock(status=code, read=lambda: b"starting") for code in (429, 503, 504)]
    found = mock.Mock(status=200, read=lambda: json.dumps(RUNNING).encode())
    monkeypatch.setattr(api, "request", mock.Mock(side_effect=[*away, found]))
    assert api.pod("job-driver") == RUNNING
    asked = mock.Mock(side_effect=[*away, found])
    monkeypatch.setattr(api, "request", asked)
    api.delete("job-driver")
    assert asked.mock_calls == [mock.call("DELETE", "job-driver")] * 5
    monkeypatch.setattr(cluster_driver, "BACK_WITHIN", 0.0)
    monkeypatch.setattr(api, "request", mock.Mock(side_effect=ConnectionRefusedError("away")))
    with pytest.raises(ConnectionRefusedError):
        api.pod("job-driver")
    refused = mock.Mock(status=403, read=lambda: b"forbidden")
    for ask in (api.pod, api.delete):
        monkeypatch.setattr(api, "request", mock.Mock(side_effect=[refused]))
        with pytest.raises(SystemExit, match="403: forbidden"):
            ask("job-driver")


def test_a_failed_submission_is_no_success(submit, capfd):
    assert submit([None], script="exit 7")[0] == 7
    assert "there is no driver" in capfd.readouterr().err
    assert submit([None], script="kill -9 $$")[0] == 137


def test_a_driver_without_a_code_is_a_failure(submit, capfd):
    evicted = status("Failed")
    evicted["status"] |= {"reason": "Evicted", "message": "no disk"}
    assert submit([evicted], [[LogError("no container")]])[0] == 1
    assert "Evicted: no disk" in capfd.readouterr().err
    assert submit([None])[0] == 1
    assert submit([RUNNING, None], [[]])[0] == 1


def test_why_it_waits_is_said_once(submit, capfd):
    waits = status("Pending")
    waits["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes",
        }
    ]
    submit([waits, waits, waits, ended(0)], [[]])
    assert capfd.readouterr().err.count("no node fits a pod: 0/3 nodes") == 1
    submit([status("Pending", waiting={"reason": "ErrImagePull", "message": "no"}), ended(0)], [[]])
    assert "ErrImagePull: no" in capfd.readouterr().err


def test_out_of_memory_is_said(submit, capfd):
    assert submit([RUNNING, ended(137, "OOMKilled")], [[]])[0] == 137
    assert "cluster mode: the driver was killed for memory" in capfd.readouterr().err


def test_what_the_drivers_pod_tells_of_its_end_is_this_ones_reason(submit, tmp_path, monkeypatch):
    (tmp_path / "log").touch()
    monkeypatch.setattr(last_words, "TERMINATION_LOG", str(tmp_path / "log"))
    failed = ended(2)
    failed["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = "app: no such file"
    assert submit([RUNNING, failed], [[]])[0] == 2
    assert (tmp_path / "log").read_text() == "app: no such file"


def test_stopped_it_takes_the_driver_with_it(submit):
    code, api = submit([RUNNING], [[cluster_driver.Stopped()]])
    assert (code, api.deleted) == (143, ["job-driver"])


def test_the_drivers_pod_belongs_to_this_one(submit, tmp_path):
    code, _ = submit([ended(0)], [[]], script=f'cp "${{2#*=}}" {tmp_path}/seen; echo "$@" >&2')
    assert code == 0
    seen = json.loads((tmp_path / "seen").read_text())
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "job-1", "uid": "uid-1"}
    assert seen["metadata"]["ownerReferences"] == [owner]
    (container,) = seen["spec"]["containers"]
    known = [{"name": "POD", "value": "job-1"}, {"name": "JOB", "value": "job"}]
    assert container == {"name": "driver", "env": known}


def test_it_needs_nothing_but_python_3_10():
    """Spark's image has no other modules; ruff looks after the syntax."""
    program = ["python3", "-E", "-s", "-S", cluster_driver.__file__, "--help"]
    subprocess.run(program, check=True, capture_output=True)
