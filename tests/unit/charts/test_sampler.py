"""charts/spark/files/sampler.py: what it sees of real processes, and whose it takes them for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sampler

SAMPLER = Path(sampler.__file__)
# Uses SECONDS of CPU, itself or in a child, holds MIB, says so, then waits to be ended.
WORK = """
import os, sys, time
seconds, mib, who = sys.argv[1:4]
held = bytearray(int(mib) << 20)
held[::4096] = b"x" * len(held[::4096])
if who == "itself" or os.fork() == 0:
    while time.process_time() < float(seconds):
        pass
    if who == "child":
        os._exit(0)
else:
    os.wait()
print("done", flush=True)
time.sleep(60)
"""


@contextmanager
def working(*args: str) -> Generator[int]:
    """The pid of a process that has done its work and still runs."""
    command = [sys.executable, "-c", WORK, *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "done\n"
            yield child.pid
        finally:
            child.kill()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("who", ["itself", "child"])
def test_cpu_and_memory_of_a_process(tmp_path: Path, who: str) -> None:
    """Also of a child that ended before it was ever seen."""
    before = time.time()
    with working("0.8", "64", who) as pid:
        samples = sampler.Samples(tmp_path / "a" / "b.jsonl", "it")
        samples.take(sampler.processes(), pid)
    first, second = lines(tmp_path / "a" / "b.jsonl")
    assert {row["process"] for row in (first, second)} == {"it"}
    assert first["at"] == pytest.approx(before, abs=0.5)
    assert (first["cpu"], first["memory"]) == (0, 0)
    assert second["cpu"] == pytest.approx(0.85, abs=0.15)
    assert 64 << 20 <= second["memory"] < 96 << 20


def test_all_below_a_process_count_and_no_others(tmp_path: Path) -> None:
    script = f"{sys.executable} -c 'print(1, flush=True); import time; time.sleep(60)' & wait"
    shell = subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE)
    try:
        assert shell.stdout is not None
        shell.stdout.readline()
        table = sampler.processes()
        below = sampler.tree(table, shell.pid)
        assert len(below) == 2
        assert os.getpid() not in below
        assert below <= sampler.tree(table, os.getpid())
    finally:
        for pid in below - {shell.pid}:
            os.kill(pid, 9)
        shell.wait()
    assert sampler.tree(sampler.processes(), shell.pid) == set()


def test_a_fork_has_its_memory_from_its_parent(tmp_path: Path) -> None:
    """As the JVM's children have, before they become another program."""
    held, other = 100 << 20, 20 << 20
    table = {
        1: sampler.Process(parent=0, cpu=1, memory=held, size=1000, started=0),
        2: sampler.Process(parent=1, cpu=1, memory=held - 4096, size=1000, started=0),
        3: sampler.Process(parent=1, cpu=1, memory=other, size=900, started=0),
    }
    samples = sampler.Samples(tmp_path / "x", "x")
    samples.take(table, 1)
    assert lines(tmp_path / "x")[-1]["memory"] == held + other
    assert lines(tmp_path / "x")[-1]["cpu"] == 3


def test_cpu_never_goes_back(tmp_path: Path) -> None:
    """A child that was adopted by another takes its CPU away with it."""
    samples = sampler.Samples(tmp_path / "x", "x")
    for cpu in (1.0, 3.0, 2.0, 3.5):
        samples.add(0, cpu, 0)
    assert [row["cpu"] for row in lines(tmp_path / "x")] == [1.0, 3.0, 3.0, 3.5]


@pytest.mark.parametrize(
    ("words", "executor"),
    [
        (["java", "-cp", "x", "a.b.CoarseGrainedExecutorBackend", "--executor-id", "7"], None),
        (["java", "x", "--executor-id", "7", "--app-id", "app-1"], None),
        (["ExecutorBackend", "--app-id", "app-1", "--executor-id", "7"], ("app-1", "7")),
        (
            ["KubernetesExecutorBackend", "--app-id", "spark-0", "--executor-id", "12"],
            ("spark-0", "12"),
        ),
        (["ExecutorBackend", "--app-id", "../x", "--executor-id", "7"], None),
        (["ExecutorBackend", "--app-id", "app-1", "--executor-id", "a/b"], None),
        (["ExecutorBackend", "--app-id", "app-1", "--executor-id", ".."], None),
        ([""], None),
    ],
)
def test_whose_a_process_is(words: list[str], executor: tuple[str, str] | None) -> None:
    assert sampler.executor_of("\0".join(words).encode()) == executor


class Clock:
    """In the place of `time`, so that a busy machine changes nothing."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_ticks_keep_their_pace_and_catch_up_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, seen = Clock(), []
    monkeypatch.setattr(sampler, "time", clock)
    for _, late in zip(sampler.ticks(1, clock.wait), (0, 0.5, 2.5, 0, 0), strict=False):
        seen.append(clock.now)
        clock.wait(late)
    # What was late before the next tick costs nothing; what is later moves all that follow.
    assert seen == [0, 1, 2, 4.5, 5.5]


# Starts two executors of one application, says so when they have worked, and ends with its input.
WORKER = """
import subprocess, sys
work = sys.argv[1]
names = ["x.CoarseGrainedExecutorBackend", "--app-id", "app-1", "--executor-id"]
children = [
    subprocess.Popen(
        [sys.executable, "-c", work, seconds, "16", "itself", *names, id_],
        stdout=subprocess.PIPE,
    )
    for id_, seconds in (("0", "0.4"), ("1", "0.8"))
]
for child in children:
    child.stdout.readline()
print("done", flush=True)
sys.stdin.readline()
for child in children:
    child.kill()
    child.wait()
print("ended", flush=True)
sys.stdin.readline()
"""


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_workers_sampler_has_a_file_for_each_executor_and_ends_with_the_worker(
    tmp_path: Path,
) -> None:
    """Started as the chart does it: by the shell whose place the worker then takes."""
    start = f'"{sys.executable}" "{SAMPLER}" --every 0.1 "{tmp_path}" & echo $!\n'
    shell = ["bash", "-c", f'{start}exec "{sys.executable}" -c "$0" "$1"', WORKER, WORK]
    with (
        working("0", "1", "itself") as other,
        subprocess.Popen(
            shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as worker,
    ):
        assert worker.stdout is not None and worker.stdin is not None
        pid = int(worker.stdout.readline())
        files = [tmp_path / "app-1" / f"executor-{id_}.jsonl" for id_ in "01"]
        assert worker.stdout.readline() == "done\n"
        for file, seconds in zip(files, (0.4, 0.8), strict=True):
            wait_until(
                lambda file=file, least=seconds: (
                    file.exists() and lines(file)[-1]["cpu"] > least - 0.05
                )
            )
        worker.stdin.write("\n")
        assert worker.stdout.readline() == "ended\n"
        for file, seconds in zip(files, (0.4, 0.8), strict=True):
            rows = lines(file)
            assert rows[-1]["process"] == file.stem.replace("-", " ")
            assert rows[-1]["cpu"] == pytest.approx(seconds, abs=0.15)
            assert max(row["memory"] for row in rows) >= 16 << 20
            times = [row["at"] for row in rows]
            assert times == sorted(times)
        assert {file for file in tmp_path.rglob("*.jsonl")} == set(files)
        assert Path(f"/proc/{pid}").exists() and Path(f"/proc/{other}").exists()
        worker.stdin.write("\n")
        worker.wait(60)
        wait_until(lambda: not Path(f"/proc/{pid}").exists())


# In a pod whose containers share their processes, and no other ones are to be seen.
IN_A_POD = ["unshare", "--pid", "--fork", "--mount-proc", "bash", "-euc"]
in_a_pod = pytest.mark.skipif(os.getuid() != 0, reason="only root can make such a place here")
POD = f"""
"{sys.executable}" "{SAMPLER}" --every 0.1 --pod "$1" & sampler=$!
"{sys.executable}" -c "$0" 0.4 16 itself x.KubernetesExecutorBackend --app-id spark-1 \\
  --executor-id 1 & executor=$!
"""


@contextmanager
def a_pod(folder: Path, end: str) -> Generator[subprocess.Popen[str]]:
    """Its executor has worked and said so; `end` is what happens after a line of input."""
    with subprocess.Popen(
        [*IN_A_POD, f"{POD} read -r; {end}", WORK, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as pod:
        try:
            assert pod.stdout is not None
            assert pod.stdout.readline() == "done\n"
            yield pod
        finally:
            pod.kill()


@in_a_pod
def test_a_pods_sampler_ends_after_the_executor(tmp_path: Path) -> None:
    file = tmp_path / "spark-1" / "executor-1.jsonl"
    with a_pod(tmp_path, "kill $executor; wait $sampler") as pod:
        wait_until(lambda: file.exists() and lines(file)[-1]["cpu"] > 0.35)
        pod.communicate("\n", timeout=60)
        assert pod.returncode == 0
    assert list(tmp_path.rglob("*.jsonl")) == [file]
    assert lines(file)[-1]["cpu"] == pytest.approx(0.4, abs=0.15)


@in_a_pod
def test_a_volume_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "spark-1").write_text("in the way")
    with a_pod(tmp_path, "kill -0 $sampler; kill $executor; wait $sampler") as pod:
        _, said = pod.communicate("\n", timeout=60)
        assert pod.returncode == 0
    assert said.count("sampler: ") == 1


# Of a real container of either kind of cgroup: what the kernel counts there.
V1 = {"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"}
V1 |= {"memory/memory.limit_in_bytes": "1610612736\n"}
V2 = {"memory.events": "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n"}
V2 |= {"memory.max": "1610612736\n"}
FREE = {"memory.events": "oom 0\noom_kill 0\n", "memory.max": "max\n"}
FREE_V1 = {"memory/memory.limit_in_bytes": "9223372036854771712\n"}


@pytest.mark.parametrize(
    ("files", "kills", "limit"),
    [(V1, 3, 1536 << 20), (V2, 3, 1536 << 20), (FREE, 0, None), (FREE_V1, 0, None), ({}, 0, None)],
)
def test_what_the_kernel_counts_of_a_container(monkeypatch, files, kills, limit) -> None:
    def read(path: Path) -> str:
        prefix = "/proc/7/root/sys/fs/cgroup/"
        assert str(path).startswith(prefix)
        try:
            return files[str(path).removeprefix(prefix)]
        except KeyError:
            raise FileNotFoundError(str(path)) from None

    monkeypatch.setattr(Path, "read_text", read)
    assert (sampler.oom_kills(7), sampler.memory_limit(7)) == (kills, limit)


def test_processes_killed_for_memory_and_last_words_are_told(tmp_path: Path, monkeypatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "stdout").write_text("out\n")
    (work / "stderr").write_text("." * 200_000 + "\nthe end\n")
    kills = iter([2, 2, 3, 3])  # two of them before it began
    monkeypatch.setattr(sampler, "oom_kills", lambda pid: next(kills))
    monkeypatch.setattr(sampler, "memory_limit", lambda pid: 1536 << 20)
    program = [sys.executable, "-c", "input()"]
    with subprocess.Popen(program, cwd=work, stdin=subprocess.PIPE) as child:
        one = sampler.Executor(tmp_path, child.pid, "app-1", "0")
        one.take(sampler.processes())
        told = tmp_path / "app-1" / "executor-0.json"
        assert not told.exists()
        one.take(sampler.processes())
        assert json.loads(told.read_text()) == {"oomKills": 1, "limitMiB": 1536.0}
        told.unlink()
        one.take(sampler.processes())
        assert not told.exists()  # nothing new
        child.communicate(b"\n")
    one.end()
    log = (tmp_path / "app-1" / "executor-0.log").read_text()
    assert log.startswith("out\n") and log.endswith("\nthe end\n") and len(log) < 64 << 10
