"""charts/spark/files/usage.py and measured.py, without Spark: the sums, and what may go wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import last_words
import measured
import pytest
import usage
import why

from submission import measuring

GIB = 1 << 30


def event(name: str, at: float | None = None, **more: Any) -> dict[str, Any]:
    """As Spark logs it; `at` in seconds."""
    time_ = {} if at is None else {"Timestamp": at * 1000}
    return {"Event": f"SparkListener{name}", **time_, **more}


def added(id_: str, at: float, cores: int) -> dict[str, Any]:
    info = {"Host": f"10.0.0.{id_}", "Total Cores": cores}
    return event("ExecutorAdded", at, **{"Executor ID": id_, "Executor Info": info})


def task(executor: str, run: float, cpu: float, resident: int, **more: Any) -> dict[str, Any]:
    metrics = {"Executor Run Time": run * 1e3, "Executor CPU Time": cpu * 1e9, "JVM GC Time": 10}
    return event(
        "TaskEnd",
        **{
            "Task End Reason": {"Reason": "Success"},
            "Task Info": {"Executor ID": executor, "Finish Time": 0},
            "Task Metrics": {**metrics, **more},
            "Task Executor Metrics": {"ProcessTreeJVMRSSMemory": resident, "JVMHeapMemory": 1},
        },
    )


PRICED: dict[str, Any] = {"Spark Properties": [["spark.tinderbox.nodePrice", "0.1"]]}
START = event("ApplicationStart", 1000, **{"App ID": "app-1", "App Name": "it"})
SHUFFLED: dict[str, Any] = {"Shuffle Read Metrics": {"Remote Bytes Read": 5, "Local Bytes Read": 7}}
FAILED: dict[str, Any] = {"Task End Reason": {"Reason": "ExceptionFailure"}, "Task Metrics": None}
EVENTS = [
    START,
    event("EnvironmentUpdate", **PRICED),
    added("0", 1010, 4),
    added("1", 1010, 2),
    task("0", 8, 6, GIB),
    task("0", 4, 3, 3 * GIB),
    task("1", 2, 1, GIB, **{"Input Metrics": {"Bytes Read": 100}}, **SHUFFLED),
    task("1", 9, 9, GIB) | FAILED,
    event("ExecutorRemoved", 1020, **{"Executor ID": "1"}),
    added("2", 1030, 2),
    event("ApplicationEnd", 1100),
]


def test_sums_by_executor_and_over_all() -> None:
    found = usage.summarize(EVENTS, 4)
    assert (found["seconds"], found["tasks"], found["failedTasks"]) == (100, 4, 1)
    assert (found["executorRunSeconds"], found["executorCpuSeconds"]) == (14, 10)
    assert (found["bytesRead"], found["shuffleBytesRead"]) == (100, 12)
    rows = [(e["id"], e["host"], e["tasks"], e["cpuSeconds"]) for e in found["executors"]]
    assert rows == [("0", "10.0.0.0", 2, 9), ("1", "10.0.0.1", 2, 1), ("2", "10.0.0.2", 0, 0)]
    assert [e["peakMemoryMiB"] for e in found["executors"]] == [3072, 1024, None]


def test_the_cost_is_of_cores_for_as_long_as_they_were_held() -> None:
    cost = usage.summarize(EVENTS, 4)["cost"]
    # driver 1 x 100, then 4 x 90, 2 x 10 (it left) and 2 x 70 core-seconds, on nodes of 4 cores
    hours = (100 + 360 + 20 + 140) / 4 / 3600
    assert cost["nodeHours"] == pytest.approx(hours, abs=1e-9)
    assert cost["usd"] == pytest.approx(hours * 0.1, abs=1e-9)
    assert usage.summarize(EVENTS, 4, 0.2)["cost"]["usd"] == pytest.approx(hours * 0.2, abs=1e-9)


def test_whose_it_is() -> None:
    told = {"namespace": "etl", "user": "ann", "labels": "a=b,team=data"}
    properties = [[f"spark.tinderbox.{name}", value] for name, value in told.items()]
    own: dict[str, Any] = {"Spark Properties": properties}
    found = usage.summarize([EVENTS[0], event("EnvironmentUpdate", **own), *EVENTS[2:]], 4)
    assert (found["namespace"], found["user"]) == ("etl", "ann")
    assert found["labels"] == {"a": "b", "team": "data"}
    # When each executor came, for who pays for a day.
    assert [one["started"] for one in found["executors"]] == [1010, 1010, 1030]
    nobodys = usage.summarize(EVENTS, 4)
    assert (nobodys["namespace"], nobodys["user"], nobodys["labels"]) == (None, None, {})


def test_without_a_price_there_is_no_cost_but_node_hours() -> None:
    cost = usage.summarize([e for e in EVENTS if "Spark Properties" not in e], 4)["cost"]
    assert (cost["usd"], cost["nodePrice"]) == (None, None)
    assert cost["nodeHours"] > 0


def test_where_nodes_differ_the_log_says_how_many_cores_one_has() -> None:
    """The stack's own setting, and not the node on which the driver happens to be."""
    mean = [["spark.tinderbox.nodePrice", "0.3"], ["spark.tinderbox.nodeCores", "6"]]
    events = [{**e, "Spark Properties": mean} if "Spark Properties" in e else e for e in EVENTS]
    found, other = (usage.summarize(events, cores)["cost"] for cores in (2, 8))
    assert found == other and found["nodeCores"] == 6
    plain = usage.summarize(EVENTS, 6)["cost"]
    assert found["nodeHours"] == plain["nodeHours"]
    assert found["usd"] == pytest.approx(3 * plain["usd"])


@pytest.mark.parametrize("events", [[], EVENTS[1:]])
def test_a_log_without_a_beginning(events: list[dict[str, Any]]) -> None:
    with pytest.raises(usage.UsageError, match="no beginning"):
        usage.summarize(events, 4)


def test_samples_by_process_and_no_line_that_was_cut_off() -> None:
    rows = [
        {"process": "executor 0", "at": at, "cpu": cpu, "memory": memory << 20}
        for at, cpu, memory in ((10, 0, 0), (11, 0.5, 100), (11.1, 0.6, 300), (12.1, 2.6, 200))
    ]
    text = "\n".join(json.dumps(row) for row in reversed(rows))
    found = usage.sampled(usage.read_samples(f'{text}\n{{"process": "executor 0", "at": 1'))
    # From 11 to 12.1: what lies half a second or less behind another point is not told apart.
    assert found == {
        "executor 0": {
            "samples": 4,
            "seconds": 2.1,
            "cpuSeconds": 2.6,
            "peakCores": round(2.1 / 1.1, 2),
            "peakMemoryMiB": 300,
        }
    }


def run_measured(folder: Path, *command: str) -> subprocess.Popen[str]:
    words = [sys.executable, measured.__file__, "--every", "0.1", str(folder), "pod", "--"]
    return subprocess.Popen([*words, *command], stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("code", [0, 2])
def test_the_exit_code_is_the_drivers_though_nothing_is_known(tmp_path: Path, code: int) -> None:
    (tmp_path / "events").mkdir()
    script = tmp_path / "spark-submit"
    script.write_text(
        f'#!/bin/sh\n[ "$1 $2 $3" = "--conf spark.tinderbox.run=pod x" ]\nexit {code}'
    )
    script.chmod(0o755)
    with run_measured(tmp_path, str(script), "x") as run:
        assert run.wait(20) == code
        assert run.stderr is not None
        (line,) = run.stderr.read().splitlines()
    assert line.startswith("usage: not known: ")
    assert line.endswith("no event log has spark.tinderbox.run=pod")
    assert not list(tmp_path.rglob("*.jsonl"))


def test_another_program_than_spark_submit_gets_its_own_arguments_only(tmp_path: Path) -> None:
    script = tmp_path / "entrypoint.sh"
    script.write_text('#!/bin/sh\n[ "$*" = "driver x" ] && exit 5')
    script.chmod(0o755)
    with run_measured(tmp_path, str(script), "driver", "x") as run:
        assert run.wait(20) == 5


def test_the_program_knows_the_property_by_the_same_name() -> None:
    assert measuring.RUN_PROPERTY == usage.RUN_PROPERTY


def test_a_volume_that_cannot_be_written_costs_no_result(tmp_path: Path) -> None:
    (tmp_path / "usage").write_text("in the way")
    script = tmp_path / "submit"
    script.write_text("#!/bin/sh\nsleep 0.5; exit 3")
    script.chmod(0o755)
    with run_measured(tmp_path, str(script)) as run:
        assert run.stderr is not None
        said = run.stderr.read().splitlines()
        assert run.wait(20) == 3
    assert [line.partition(": ")[0] for line in said] == [
        "usage",
        "usage",
        "why it ended is not kept",
    ]
    assert said[0].startswith("usage: the driver is not sampled any more: ")
    assert said[1].startswith("usage: not known: ")


def test_a_signal_goes_on_to_the_driver(tmp_path: Path) -> None:
    script = tmp_path / "submit"
    script.write_text(
        f"#!/bin/sh\ntrap 'exit 7' TERM\ntouch {tmp_path}/up\nwhile :; do sleep .1; done"
    )
    script.chmod(0o755)
    with run_measured(tmp_path, str(script)) as run:
        limit = time.monotonic() + 20
        while not (tmp_path / "up").exists():
            assert time.monotonic() < limit
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        assert run.wait(20) == 7


# Why a driver failed.

AT = "26/11/25 10:00:00"


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            f"wordcount: x: hidden\n{AT} INFO ShutdownHookManager: Shutdown hook called\n",
            "wordcount: x: hidden",
        ),
        ('Traceback (most recent call last):\n  File "a.py"\nValueError: no\n', "ValueError: no"),
        (
            "AnalysisException: [NO_TABLE] no t\n'Project [*]\n+- 'Relation [t]\n\n",
            "AnalysisException: [NO_TABLE] no t",
        ),
        (
            'Exception in thread "main" E: a\n\tat f\nCaused by: F: b\n\t... 9 more\n',
            "E: a",
        ),
        ("no line end", "no line end"),
        ('{"words": 3}\n', ""),
    ],
)
def test_what_a_program_said_last(printed: str, told: str, capfd: pytest.CaptureFixture) -> None:
    words = last_words.LastWords()
    program = [sys.executable, "-c", f"print({printed!r}, end='')"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        for pipe in words.pass_on(run):
            pipe.join()
    found = why.cause({"code": 1, "log": words.text})
    assert found["line"] == (told or "it ended with exit code 1")
    assert capfd.readouterr().out == printed


def test_a_driver_that_fails_tells_its_pod_why_though_its_log_is_long(
    tmp_path, monkeypatch
) -> None:
    (tmp_path / "log").touch()  # by Kubernetes
    monkeypatch.setattr(last_words, "TERMINATION_LOG", str(tmp_path / "log"))
    # The handlers are the program's; a test has its own.
    monkeypatch.setattr(last_words.signal, "signal", lambda *_: None)
    script = tmp_path / "submit"
    script.write_text(
        f"#!/bin/sh\nyes '{AT} WARN it goes on' | head -n 50000; echo 'app: no such file' >&2\n"
        f"yes '{AT} INFO it goes on' | head -n 50000 >&2; exit $1"
    )
    script.chmod(0o755)
    assert measured.main([str(tmp_path), "pod", "--", str(script), "0"]) == 0
    assert (tmp_path / "log").read_text() == ""
    assert measured.main([str(tmp_path), "pod", "--", str(script), "2"]) == 2
    assert (tmp_path / "log").read_text() == "app: no such file"
    (tmp_path / "log").write_text("")  # another container's
    script.write_text("#!/bin/sh\nkill -9 $$")
    assert measured.main([str(tmp_path), "pod", "--", str(script)]) == 137
    assert (tmp_path / "log").read_text() == "ended by SIGKILL"


def test_the_log_and_the_cause_stay_where_no_application_began(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(last_words.signal, "signal", lambda *_: None)
    script = tmp_path / "submit"
    script.write_text("#!/bin/sh\necho one; echo two >&2; exit 3")
    script.chmod(0o755)
    assert measured.main([str(tmp_path), "pod", "--", str(script)]) == 3
    kept = tmp_path / "usage" / "pod"
    assert {file.name for file in kept.iterdir()} == {"driver.log", "why.json"}
    assert sorted((kept / "driver.log").read_text().splitlines()) == ["one", "two"]
    told = json.loads((kept / "why.json").read_text())
    assert (told["run"], told["application"], told["code"]) == ("pod", None, 3)
    assert told["line"] in ("one", "two")


def test_what_was_told_before_it_ended_is_why(tmp_path, monkeypatch) -> None:
    """By first_executor.py, which ends it."""
    monkeypatch.setattr(last_words.signal, "signal", lambda *_: None)
    monkeypatch.setattr(last_words, "TERMINATION_LOG", str(tmp_path / "log"))
    (tmp_path / "log").write_text("no executor within 5 s: no node fits it: 0/3 nodes")
    script = tmp_path / "submit"
    script.write_text("#!/bin/sh\nkill -TERM $$")
    script.chmod(0o755)
    assert measured.main([str(tmp_path), "pod", "--", str(script)]) == 143
    told = json.loads((tmp_path / "usage" / "pod" / "why.json").read_text())
    assert told["cause"] == "no node"
    assert told["line"] == (tmp_path / "log").read_text()


def test_a_file_of_last_words_is_bounded_whole_lines_and_there_before_the_end(tmp_path) -> None:
    words = last_words.LastWords(tmp_path / "a" / "driver.log", most=2000)
    for number in range(1000):
        words.add(f"line {number:04}\n".encode())
    kept = [(tmp_path / "a" / name).read_text() for name in ("driver.log.1", "driver.log")]
    assert 1000 < sum(map(len, kept)) <= 2000
    lines = "".join(kept).splitlines()
    assert lines == [f"line {number:04}" for number in range(1000 - len(lines), 1000)]
    words.add(b"x" * 5000)
    assert (tmp_path / "a" / "driver.log").stat().st_size == 1000


EXECUTOR = {"SPARK_APPLICATION_ID": "spark-1", "SPARK_EXECUTOR_ID": "7"}


def run_executor(folder: Path, *command: str) -> subprocess.Popen[str]:
    """As the pod of one starts it."""
    start = [sys.executable if word == "python3" else word for word in measuring.KEPT[3:]]
    assert start[1:] == [f"{measuring.PROGRAMS}/last_words.py", f"{measuring.FOLDER}/usage"] + [
        *("--", measuring.ENTRY_POINT)
    ]
    words = [sys.executable, last_words.__file__, str(folder), "--", *command]
    return subprocess.Popen(words, env=EXECUTOR, stdout=subprocess.PIPE, text=True)


def test_an_executors_last_words_stay_and_its_end_is_its_own(tmp_path: Path) -> None:
    with run_executor(tmp_path, "sh", "-c", "echo out; echo err >&2; exit 52") as run:
        assert run.stdout is not None and run.stdout.read() == "out\n"
        assert run.wait(20) == 52
    (file,) = (tmp_path / "spark-1").iterdir()
    assert file.name == "executor-7.log"
    assert sorted(file.read_text().splitlines()) == ["err", "out"]
    with run_executor(tmp_path, "sh", "-c", "trap 'exit 7' TERM; echo up; sleep 60 & wait") as run:
        assert run.stdout is not None and run.stdout.readline() == "up\n"
        run.send_signal(signal.SIGTERM)
        assert run.wait(20) == 7
    (tmp_path / "in-the-way").touch()
    with run_executor(tmp_path / "in-the-way", "sh", "-c", "echo out; exit 3") as run:
        assert run.stdout is not None and run.stdout.read() == "out\n"
        assert run.wait(20) == 3


def removed(id_: str, why: str) -> dict[str, Any]:
    return event("ExecutorRemoved", 1020, **{"Executor ID": id_, "Removed Reason": why})


def test_how_executors_ended_with_what_they_asked_for_and_had(tmp_path: Path) -> None:
    sizes = [["spark.executor.memory", "512m"], ["spark.executor.memoryOverhead", "512"]]
    properties: dict[str, Any] = {"Spark Properties": sizes}
    events = [*EVENTS[:3], removed("0", "exited\n with  code 137"), *EVENTS[-1:]]
    found = usage.summarize([*events[:1], event("EnvironmentUpdate", **properties), *events[2:]], 4)
    assert found["executorMemory"] == {"heapMiB": 512, "askedMiB": 1024}
    (tmp_path / "executor-0.json").write_text('{"oomKills": 1, "limitMiB": 1024.0}\n')
    (end,) = usage.ends(found | {"sampled": {"executor 0": {"peakMemoryMiB": 1019.5}}}, tmp_path)
    assert end == {
        **{"id": "0", "host": "10.0.0.0", "ended": "exited with code 137", "heapMiB": 512},
        **{"askedMiB": 1024, "peakMiB": 1019.5, "oomKills": 1, "limitMiB": 1024.0},
    }
    bare = usage.summarize([START, *events[2:3]], 4)
    assert usage.ends(bare, tmp_path / "none")[0]["askedMiB"] is None


def test_where_there_is_no_pod_nothing_is_left_behind(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(last_words, "TERMINATION_LOG", str(tmp_path / "log"))
    last_words.tell("nobody listens")
    assert not list(tmp_path.iterdir())


def test_lines_of_any_length_and_bytes_go_through_and_one_that_nobody_reads_ends(tmp_path) -> None:
    program = "import sys; sys.stdout.buffer.write(b'x' * 10_000_000 + b'\\xff\\n'); exit(1)"
    words = [sys.executable, measured.__file__, str(tmp_path), "pod", "--", sys.executable, "-c"]
    done = subprocess.run([*words, program], capture_output=True)
    assert done.stdout == b"x" * 10_000_000 + b"\xff\n"
    endless = "while True: print('y')"
    with subprocess.Popen(
        [*words, endless], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        assert run.stdout is not None
        run.stdout.close()
        assert run.wait(20) == 1
