"""The program that ends a driver whose executors don't start."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from typing import Any

import first_executor
import last_words
import pytest
from first_executor import Watch

NO_NODE = "0/3 nodes are available: 3 Insufficient memory."
QUOTA = 'pods "job-1-exec-1" is forbidden: exceeded quota: team, requested: requests.cpu=1'

REFUSED_LINE = f"Failure executing: POST. Message: {QUOTA} Received status: Status(403)".encode()


def pod(name: str, phase: str, role: str = "executor", **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"spark-role": role}}
    return {"metadata": metadata, "status": {"phase": phase, **status}}


def unschedulable(name: str, role: str = "executor") -> dict[str, Any]:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": NO_NODE,
    }
    return pod(name, "Pending", role, conditions=[condition])


def watch(*pods: dict[str, Any], within: float = 60) -> Watch:
    return Watch("job-1", within, lambda: list(pods))


def test_a_running_executor_is_all_that_is_asked_for():
    others = [pod("job-2-exec-1", "Running"), unschedulable("job-1-exec-2")]
    assert watch(*others, pod("job-1-exec-1", "Running")).started(0) is True
    assert watch(*others).started(0) is None  # that one is another job's


@pytest.mark.parametrize("role", ["executor", "driver"])
def test_the_time_counts_from_the_first_pod_that_waits(role):
    looks = watch(unschedulable("job-1-pod", role))
    assert looks.started(1000) is None
    assert looks.started(1059) is None
    assert looks.started(1060) is False
    assert looks.reason == f"no node fits job-1-pod: {NO_NODE}"


def test_an_image_that_is_not_there():
    waits = {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}
    waiting = {"image": "me/none:1", "state": waits}
    looks = watch(pod("job-1-exec-1", "Pending", containerStatuses=[waiting]))
    looks.started(0)
    reason = "me/none:1 of job-1-exec-1 can't be pulled: ImagePullBackOff: no such tag"
    assert looks.reason == reason


def test_a_program_that_wants_no_executors_yet_has_time():
    looks = watch(pod("job-1-driver", "Running", "driver"))
    assert looks.started(0) is None
    assert looks.started(10_000) is None


def test_an_api_that_does_not_answer_is_asked_again(capsys):
    def broken() -> first_executor.Pods:
        raise OSError("refused")

    assert Watch("job-1", 0, broken).started(0) is None
    assert "does not answer: refused" in capsys.readouterr().err


def run(program: str, looks: Watch, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(first_executor, "LOOK_EVERY", 0.1)
    # The handler of SIGTERM is the program's; a test has its own.
    monkeypatch.setattr(first_executor.signal, "signal", lambda *_: None)
    return first_executor.run([sys.executable, "-c", program], looks)


def test_what_the_quota_refuses_ends_the_driver_with_the_quotas_words(
    monkeypatch, capfdbinary, tmp_path
):
    (tmp_path / "log").touch()
    monkeypatch.setattr(last_words, "TERMINATION_LOG", str(tmp_path / "log"))
    line = f"Failure executing: POST. Message: {QUOTA} Received status: Status(code=403)"
    program = f"import time; print({line!r}, flush=True)"
    start = time.monotonic()
    code = run(f"{program}; time.sleep(60)", watch(within=0.4), monkeypatch)
    assert code == 1
    assert time.monotonic() - start < 20
    shown = capfdbinary.readouterr()
    assert b"Failure executing" in shown.out  # the log goes on as it is
    expected = f"no executor within 0 s: the namespace's quota is used up: {QUOTA}"
    assert shown.err.decode().strip() == f"first executor: {expected}"
    assert (tmp_path / "log").read_text() == expected
    assert run(f"{program}; exit(11)", watch(), monkeypatch) == 11  # Spark gave up by itself
    assert (
        capfdbinary.readouterr().err.decode().strip()
        == f"first executor: no executor: the namespace's quota is used up: {QUOTA}"
    )


def test_a_driver_with_executors_ends_as_it_does(monkeypatch, capfdbinary):
    running = watch(pod("job-1-exec-1", "Running"))
    assert run("import time; time.sleep(0.5); exit(3)", running, monkeypatch) == 3
    assert run("import os, signal; os.kill(os.getpid(), 9)", running, monkeypatch) == 137
    assert run("print('words')", watch(), monkeypatch) == 0
    assert b"words" in capfdbinary.readouterr().out


def test_a_line_without_an_end_is_passed_on_as_it_comes():
    """Bytes of no encoding; what comes is shown at once, and little of it is kept."""
    (program, source), (target, shown) = socket.socketpair(), socket.socketpair()
    looks = watch()
    with program, target, shown, program.makefile("rb") as read, target.makefile("wb") as write:
        pump = threading.Thread(target=first_executor.pump, args=(read, write, looks))
        pump.start()
        with source:
            for piece in (b"\xff\x00...", b"." * 2**17, b"\n" + REFUSED_LINE + b"\nx"):
                source.sendall(piece)
                seen = b""
                while len(seen) < len(piece):
                    seen += shown.recv(2**20)
                assert seen == piece
        pump.join()
    assert looks.refusal == QUOTA


def test_the_commands_own_options_stay(monkeypatch):
    seen: list[object] = []
    monkeypatch.setenv("POD", "job-1")
    monkeypatch.setattr(first_executor, "run", lambda *found: seen.append(found[0]) or 0)
    first_executor.main(["--within", "5", "--", "python3", "x.py", "--", "submit", "--conf", "a=b"])
    assert seen == [["python3", "x.py", "--", "submit", "--conf", "a=b"]]


def test_it_ends_its_command_when_it_is_told_to(tmp_path, monkeypatch):
    started = tmp_path / "started"
    child = f"open({str(started)!r}, 'w').close(); import time; time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, first_executor.__file__]
        + ["--within", "60", "--", sys.executable, "-c", child],
        env={"POD": "job-1", "KUBERNETES_SERVICE_HOST": "127.0.0.1", "ACCOUNT": str(tmp_path)}
        | {"KUBERNETES_SERVICE_PORT": "1"},
    )
    while not started.exists():
        time.sleep(0.05)
    process.terminate()
    assert process.wait(20) == 128 + 15
