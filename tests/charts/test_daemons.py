"""The chart's own commands, configuration and probes, run for real without Kubernetes.

Master and workers are processes with loopback addresses of their own in place of pods; they run
the very scripts that the chart puts into the containers, with PyPI's pyspark as /opt/spark.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.charts.conftest import Objects
from tests.charts.standalone import (
    CHECKOUT,
    MASTER,
    MASTERS,
    WORKER_PODS,
    WORKERS,
    Standalone,
    command_line,
    descendants,
    fetch,
    standalone,
    wait_for,
)

PROGRAM = str(CHECKOUT / "spark_jobs" / "wordcount.py")
PRICE = 0.048


def executors(worker: int) -> list[int]:
    """The Java processes below a worker."""
    return [pid for pid in descendants(worker)[1:] if b"-cp" in command_line(pid)]


@pytest.fixture(scope="module")
def spark(
    render: Callable[..., Objects], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("shared")
    with standalone(render, folder, f"app.nodePrice={PRICE}") as running:
        yield running


def test_master_has_its_workers(spark: Standalone) -> None:
    # A worker is started when it is registered, so there is nothing to wait for.
    assert spark.is_whole()
    assert {worker["host"] for worker in spark.state()["workers"]} == set(WORKERS)


def test_rest_submission_is_off(spark: Standalone) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((MASTER, 6066), timeout=5)


def test_metrics(spark: Standalone) -> None:
    for workload, address, port in (
        (MASTERS, MASTER, 8080),
        (WORKER_PODS, WORKERS[0], 8081),
    ):
        annotations = spark.objects[workload]["spec"]["template"]["metadata"]["annotations"]
        path = annotations["prometheus.io/path"]
        assert annotations["prometheus.io/port"] == str(port)
        assert "_Value{type=" in fetch(f"http://{address}:{port}{path}")


LINES = ["the cat the dog"] + ["to be or not to be"] * 50_000


@pytest.fixture(scope="module")
def counted(spark: Standalone) -> Path:
    """The result of a word count of eight files, measured as a driver's pod does it."""
    (spark.folder / "in").mkdir()
    for number in range(8):
        (spark.folder / "in" / f"{number} ä日.txt").write_text("\n".join(LINES) + "\n")
    output = spark.folder / "runs" / "one"
    driver = spark.submit(
        *("--conf", "spark.sql.files.maxPartitionBytes=1000000"),
        *(PROGRAM, str(spark.folder / "in"), str(output)),
        measured=["--beside", str(output), str(spark.folder / "spark"), "pod-1"],
    )
    assert driver.wait(timeout=240) == 0, (spark.folder / "driver.log").read_text()
    return output


def test_word_count_on_all_workers(spark: Standalone, counted: Path) -> None:
    assert (counted / "_SUCCESS").exists()
    summary = json.loads((counted / "summary.json").read_text())
    found = {row["word"]: row["count"] for row in summary["top"]}
    assert found == {word: 8 * n for word, n in Counter(" ".join(LINES).split()).items()}
    for address in WORKERS:
        assert list(spark.folder.glob(f"work-{address}/app-*/*/stderr")), "no executor here"


def test_usage_of_driver_and_executors(spark: Standalone, counted: Path) -> None:
    """By the chart's own sampler in the workers, and measured.py around the driver."""
    usage = json.loads((counted / "usage.json").read_text())
    app = usage["application"]
    kept = spark.folder / "spark" / "usage" / app
    assert usage == json.loads((kept / "usage.json").read_text())
    last = (spark.folder / "driver.log").read_text().splitlines()[-1]
    assert last == f"usage: {json.dumps(usage)}"
    assert list(spark.folder.glob(f"spark/events/eventlog_v2_{app}/events_1_{app}.zstd"))

    assert {executor["host"] for executor in usage["executors"]} == set(WORKERS)
    text = sum(file.stat().st_size for file in (spark.folder / "in").iterdir())
    assert usage["bytesRead"] >= text
    assert usage["shuffleBytesWritten"] > 0
    assert (usage["run"], usage["failedTasks"]) == ("pod-1", 0)
    reserved = usage["seconds"] + sum(e["cores"] * e["seconds"] for e in usage["executors"])
    assert usage["cost"]["nodePrice"] == PRICE
    assert usage["cost"]["usd"] == pytest.approx(PRICE * reserved / os.cpu_count() / 3600, rel=1e-4)

    files = {file.stem: file for file in kept.glob("*.jsonl")}
    assert set(files) == {"driver", "executor-0", "executor-1"}
    for executor in usage["executors"]:
        sampled = usage["sampled"][f"executor {executor['id']}"]
        # All of the process; of its last second nothing is known.
        assert sampled["cpuSeconds"] > executor["cpuSeconds"] - executor["cores"]
        # It starts before it joins the application.
        driver_seconds = usage["sampled"]["driver"]["seconds"]
        assert executor["seconds"] - 2 < sampled["seconds"] < driver_seconds
        assert sampled["samples"] >= sampled["seconds"] / 2
        # Spark looks while tasks run; the process goes on a little. 1536 is what a worker gives.
        assert 0.8 * executor["peakMemoryMiB"] < sampled["peakMemoryMiB"] < 1536

    # A worker's process counts the CPU of all its executors, of this and of earlier runs, when they
    # have ended; of their last second the samples know nothing.
    workers = [spark.processes[address].pid for address in WORKERS]
    wait_for("the executors' end", lambda: not any(map(executors, workers)))
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in workers]
    used = sum(int(field) for stat in stats for field in stat[13:15]) / os.sysconf("SC_CLK_TCK")
    samples = list(spark.folder.glob("spark/usage/*/executor-*.jsonl"))
    last = [json.loads(file.read_text().splitlines()[-1])["cpu"] for file in samples]
    assert -0.5 <= used - sum(last) <= 2 + 2 * len(last)


def test_unreadable_for_executors_names_the_file(spark: Standalone) -> None:
    (spark.folder / "bad").mkdir()
    (spark.folder / "bad" / "x.txt.gz").write_bytes(b"no gzip")
    driver = spark.submit(PROGRAM, str(spark.folder / "bad"), str(spark.folder / "runs" / "bad"))
    assert driver.wait(timeout=120) == 2
    last = (spark.folder / "driver.log").read_text().splitlines()[-1]
    assert last.startswith(f"wordcount: {spark.folder}/bad/x.txt.gz: cannot be read: ")
    assert not (spark.folder / "runs" / "bad").exists()


def test_secret_is_nowhere_to_be_read(spark: Standalone) -> None:
    """Not in logs, where Spark writes the executors' command lines, nor in what drivers leave."""
    for file in spark.folder.rglob("*"):
        if file.is_file():
            assert spark.secret.encode() not in file.read_bytes(), file


def test_a_driver_with_another_secret_gets_nothing(spark: Standalone) -> None:
    def applications() -> int:
        state = spark.state()
        return len(state["activeapps"]) + len(state["completedapps"])

    before = applications()
    log = spark.folder / "driver.log"
    log.write_text("")
    driver = spark.submit(str(CHECKOUT / "spark_jobs" / "pi.py"), secret="another")
    wait_for("the refusal", lambda: "Failed to connect to master" in log.read_text())
    assert driver.poll() is None  # Spark tries again for a minute.
    driver.kill()
    driver.wait()
    assert applications() == before


def test_a_worker_that_goes_lets_its_tasks_finish(spark: Standalone) -> None:
    """The chart's preStop hook in the middle of an application, then the end of the worker."""
    leaving = spark.processes[WORKERS[0]]
    folder = spark.folder / f"work-{WORKERS[0]}"
    earlier = set(folder.glob("app-*"))
    log = spark.folder / "driver.log"
    log.write_text("")
    driver = spark.submit(str(CHECKOUT / "tests" / "apps" / "slow.py"), "20", "1.5")

    def works_here() -> bool:
        logs = [log for app in set(folder.glob("app-*")) - earlier for log in app.glob("*/stderr")]
        return any("Running task" in log.read_text() for log in logs)

    wait_for("a task on the worker", works_here)
    hook = spark.container(WORKER_PODS)["lifecycle"]["preStop"]["exec"]["command"]
    # In its container the worker is process 1.
    script = hook[-1].replace("-PWR 1\n", f"-PWR {leaving.pid}\n")
    assert str(leaving.pid) in script
    env = spark.environment(WORKERS[0], "daemons")
    subprocess.run([*hook[:-1], script], env=env, timeout=90)
    assert leaving.poll() is None
    assert not executors(leaving.pid)
    leaving.terminate()
    assert driver.wait(timeout=120) == 0, log.read_text()
    (line,) = [line for line in log.read_text().splitlines() if line.startswith("{")]
    expected = Counter(number % 7 for number in range(2000))
    assert json.loads(line) == {str(remainder): n for remainder, n in expected.items()}

    spark.start(WORKER_PODS, WORKERS[0])
    wait_for("the worker", lambda: spark.started(WORKERS[0]))


def test_master_recovers(spark: Standalone) -> None:
    master = spark.processes[MASTER]
    before = {w["id"] for w in spark.state()["workers"] if w["state"] == "ALIVE"}
    master.kill()
    master.wait()
    spark.start(MASTERS, MASTER)
    wait_for("the workers", spark.is_whole, seconds=90)
    assert before <= {worker["id"] for worker in spark.state()["workers"]}


def test_what_a_master_of_another_spark_knew_is_forgotten(spark: Standalone) -> None:
    """It can't be read, and a master that fails to read it leads nobody."""
    spark.processes[MASTER].kill()
    spark.processes[MASTER].wait()
    known = spark.folder / "spark" / "recovery"
    assert list(known.glob("worker_*"))
    (known / "spark").write_text("spark-core_2.12-3.5.9.jar\n")
    (known / "worker_unreadable").write_text("of another Spark")
    spark.start(MASTERS, MASTER)
    wait_for("the workers", spark.is_whole, seconds=90)
    assert not (known / "worker_unreadable").exists()
    assert (known / "spark").read_text().startswith("spark-core_2.13-4.2.0")
