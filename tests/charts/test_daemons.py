"""The chart's own commands, configuration and probes, run for real without Kubernetes.

Master and workers are processes with loopback addresses of their own in place of pods; they run
the very scripts that the chart puts into the containers, with PyPI's pyspark as /opt/spark. Spark
in operation, too: web pages, metrics, history, failures, executors on demand.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.charts.conftest import Objects, conf
from tests.charts.slow import SLOW, Slow
from tests.charts.standalone import (
    CHECKOUT,
    DRIVER,
    HISTORIES,
    HISTORY,
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
    paths = (str(spark.folder / "bad"), str(spark.folder / "runs" / "bad"))
    driver = spark.submit("--conf", "spark.cores.max=1", PROGRAM, *paths)
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
    driver = spark.submit(SLOW, "20", "1.5")

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


Start = Callable[..., Slow]


@pytest.fixture
def start(spark: Standalone) -> Iterator[Start]:
    """Starts `Slow`; a driver that a failed test has left is ended."""
    started: list[Slow] = []

    def call(*args: object, conf: dict[str, str] | None = None) -> Slow:
        started.append(Slow(spark, *args, conf=conf))
        return started[-1]

    yield call
    for app in started:
        app.kill()
        wait_for("its executors' end", lambda app=app: not app.executors())


def values(metrics: str, name: str) -> list[float]:
    """The samples of a metric in Prometheus' text, by a pattern of its name."""
    return [float(found) for found in re.findall(rf"^{name}\{{.*\}} (\S+)$", metrics, re.M)]


@pytest.fixture(scope="module")
def app(spark: Standalone) -> Iterator[Slow]:
    """One application for all that happens to it: half of its tasks run until it `may_end`."""
    started = Slow(spark, 8, 0.2, 0, spark.folder / "go")
    started.wait_for_tasks(4)
    yield started
    started.kill()
    wait_for("its executors' end", lambda: not started.executors())


def test_pages_and_metrics_of_a_running_application(spark: Standalone, app: Slow) -> None:
    # The master's page leads to the others; from outside nobody reaches their own addresses.
    page = fetch(f"http://{MASTER}:8080/")
    links = re.findall(r'href="(/proxy/[^"]+)"', page)
    assert len({link for link in links if "worker-" in link}) == len(WORKERS)
    assert any(app.id in link for link in links)
    for link in links:
        shown = fetch(f"http://{MASTER}:8080{link}")
        wanted = "Spark Worker at" if "worker-" in link else "Spark Jobs"
        assert wanted in shown
        styles = re.findall(r'href="([^"]+webui\.css)"', shown)
        assert styles and ".navbar" in fetch(f"http://{MASTER}:8080{styles[0]}")

    driver = fetch(f"http://{DRIVER}:4040/metrics/prometheus/")
    assert values(driver, "metrics_slow_py_driver_DAGScheduler_stage_runningStages_Value") == [1]
    assert values(driver, "metrics_slow_py_driver_jvm_heap_used_Value")[0] > 1e6
    executors = fetch(f"http://{DRIVER}:4040/metrics/executors/prometheus/")
    assert sum(values(executors, "metrics_executor_completedTasks_total")) >= 1
    assert set(re.findall(r'executor_id="(\w+)"', executors)) == {"driver", "0", "1"}
    master = fetch(f"http://{MASTER}:8080/metrics/master/prometheus/")
    assert values(master, "metrics_master_aliveWorkers_Value") == [len(WORKERS)]
    assert values(master, "metrics_master_apps_Value") == [1]
    worker = fetch(f"http://{WORKERS[0]}:8081/metrics/prometheus/")
    assert values(worker, "metrics_worker_coresUsed_Value") == [2]


def test_an_executor_killed_in_the_middle(app: Slow) -> None:
    killed = app.executors()[0]
    os.kill(killed, signal.SIGKILL)
    wait_for("another executor", lambda: len(set(app.executors()) - {killed}) == len(WORKERS))
    wait_for("one that is lost", lambda: app.lost() == 1)
    wait_for("its tasks elsewhere", lambda: app.running_tasks() == 4)


def test_a_master_killed_in_the_middle(spark: Standalone, app: Slow) -> None:
    """The new one knows the workers, and the application that runs."""
    before = {w["id"] for w in spark.state()["workers"] if w["state"] == "ALIVE"}
    spark.processes[MASTER].kill()
    spark.processes[MASTER].wait()
    spark.start(MASTERS, MASTER)
    wait_for("the workers", spark.is_whole, seconds=90)
    state = spark.state()
    assert before <= {worker["id"] for worker in state["workers"]}
    assert [(a["id"], a["state"]) for a in state["activeapps"]] == [(app.id, "RUNNING")]


def test_a_worker_lost_in_the_middle(spark: Standalone, app: Slow) -> None:
    """All that happened to the application changed nothing of its result."""
    lost = app.lost()
    for pid in reversed(descendants(spark.processes[WORKERS[0]].pid)):
        os.kill(pid, signal.SIGKILL)
    spark.processes[WORKERS[0]].wait()
    wait_for("one more that is lost", lambda: app.lost() == lost + 1)
    assert len(app.executors()) == 1
    app.may_end()
    assert app.finish() == app.expected()
    wait_for("the end", lambda: app.id in [a["id"] for a in spark.state()["completedapps"]])
    spark.start(WORKER_PODS, WORKERS[0])
    wait_for("the worker", lambda: spark.started(WORKERS[0]))


def test_a_driver_killed_in_the_middle(spark: Standalone, start: Start) -> None:
    """No executor stays, and its cores are free again."""
    app = start(8, 0.2, 0, spark.folder / "never", conf={"spark.cores.max": "1"})
    app.wait_for_tasks(1)
    app.kill()
    wait_for("its executors' end", lambda: not app.executors())
    wait_for("free cores", lambda: spark.state()["coresused"] == 0)


def test_executors_come_with_the_load_and_go(spark: Standalone, start: Start) -> None:
    dynamic = {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.timeout": "1s",
        "spark.dynamicAllocation.minExecutors": "1",
        "spark.dynamicAllocation.maxExecutors": "2",
        "spark.dynamicAllocation.executorIdleTimeout": "1s",
        "spark.executor.cores": "1",
        "spark.executor.memory": "512m",
    }
    app = start(12, 0.2, 3600, spark.folder / "load", conf=dynamic)

    def active() -> int:
        return len([e for e in app.api("executors") if e["id"] != "driver"])

    wait_for("all that it may have", lambda: active() == 2)
    app.may_end()
    wait_for("its result", lambda: "{" in app.log.read_text())
    wait_for("the least that it keeps", lambda: active() == 1)
    app.file.unlink()
    assert app.finish() == app.expected()


def test_history(spark: Standalone) -> None:
    """Applications that have ended can be looked at; a log older than the limit goes."""
    logs = {log.name: log for log in (spark.folder / "spark" / "events").iterdir()}
    ended = [name for name, log in logs.items() if not list(log.glob("*.inprogress"))]
    old, *kept = sorted(ended)
    days = int(conf(spark.objects, "spark-history")["spark.history.fs.cleaner.maxAge"][:-1])
    written = time.time() - (days + 1) * 86400
    for file in logs[old].iterdir():
        os.utime(file, times=(written, written))
    with (spark.folder / "history" / "spark-defaults.conf").open("a") as properties:
        properties.write("spark.history.fs.cleaner.interval 1s\n")
    spark.start(HISTORIES, HISTORY)
    applications = f"http://{HISTORY}:18080/api/v1/applications"

    def listed() -> list[dict[str, Any]]:
        try:
            return json.loads(fetch(applications))
        except (OSError, json.JSONDecodeError):  # "Spark is starting up."
            return []

    shown = wait_for("the applications", lambda: len(listed()) == len(logs) - 1 and listed())
    assert not logs[old].exists() and all(logs[name].exists() for name in kept)
    assert {app["name"] for app in shown} == {"slow.py", "wordcount.py"}
    completed = [app["id"] for app in shown if app["attempts"][0]["completed"]]
    assert sorted(f"eventlog_v2_{id_}" for id_ in completed) == kept
    stages = json.loads(fetch(f"{applications}/{completed[0]}/stages"))
    assert {stage["status"] for stage in stages} == {"COMPLETE"}
    assert "Spark Jobs" in fetch(f"http://{HISTORY}:18080/history/{completed[0]}/jobs/")
