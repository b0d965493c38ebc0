"""Spark in operation, on real daemons: web pages, metrics, history, failures, executors on demand.

The same cluster on loopback addresses as in test_daemons.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.charts.conftest import Objects, conf
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

SLOW = str(CHECKOUT / "tests" / "apps" / "slow.py")


@pytest.fixture(scope="module")
def spark(
    render: Callable[..., Objects], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standalone]:
    with standalone(render, tmp_path_factory.mktemp("shared")) as running:
        yield running


class Slow:
    """tests/apps/slow.py on the cluster, from the moment at which all its executors run."""

    def __init__(
        self, spark: Standalone, *args: object, conf: dict[str, str] | None = None
    ) -> None:
        self.spark = spark
        self.args = [str(arg) for arg in args]
        self.file = Path(self.args[-1])
        self.log = spark.folder / "driver.log"
        self.log.write_text("")
        options = [f"--conf={key}={value}" for key, value in (conf or {}).items()]
        self.driver = spark.submit(*options, SLOW, *self.args)
        wait_for("its executors", self.executors)
        (self.id,) = [app["id"] for app in spark.state()["activeapps"]]
        wait_for("the driver's answers", self.answers)

    def executors(self) -> list[int]:
        """Processes of its executors."""
        below = [p for w in WORKERS for p in descendants(self.spark.processes[w].pid)]
        return [p for p in below if b"CoarseGrainedExecutorBackend" in command_line(p)]

    def answers(self) -> bool:
        """Whether the driver's REST API is there; at first there is a page that asks to wait."""
        try:
            return bool(self.api("executors"))
        except (OSError, json.JSONDecodeError):
            return False

    def api(self, path: str) -> Any:
        """What the driver's REST API tells."""
        return json.loads(fetch(f"http://{DRIVER}:4040/api/v1/applications/{self.id}/{path}"))

    def wait_for_tasks(self, done: int) -> None:
        """Until so many tasks have ended."""

        def ended() -> bool:
            return sum(stage["numCompleteTasks"] for stage in self.api("stages")) >= done

        wait_for(f"{done} tasks", ended)

    def running_tasks(self) -> int:
        """How many tasks run now."""
        return sum(executor["activeTasks"] for executor in self.api("executors"))

    def lost(self) -> int:
        """How many executors it has lost."""
        return sum(not executor["isActive"] for executor in self.api("allexecutors"))

    def may_end(self) -> None:
        """Lets its tasks go that wait for the file."""
        self.file.touch()

    def kill(self) -> None:
        """Ends the driver, all of its processes at once, with no time to say so."""
        for pid in reversed(descendants(self.driver.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def finish(self) -> dict[str, int]:
        """What it printed."""
        assert self.driver.wait(timeout=120) == 0, self.log.read_text()
        (line,) = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return json.loads(line)

    def expected(self) -> dict[str, int]:
        """What it must print."""
        counts = Counter(number % 7 for number in range(int(self.args[0]) * 100))
        return {str(key): counts[key] for key in sorted(counts)}


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
    """The new one knows the application that runs."""
    spark.processes[MASTER].kill()
    spark.processes[MASTER].wait()
    spark.start(MASTERS, MASTER)
    wait_for("the workers", spark.is_whole, seconds=90)
    assert [(a["id"], a["state"]) for a in spark.state()["activeapps"]] == [(app.id, "RUNNING")]


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
    app = start(8, 0.2, 0, spark.folder / "never")
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
        "spark.dynamicAllocation.maxExecutors": "3",
        "spark.dynamicAllocation.executorIdleTimeout": "1s",
        "spark.executor.cores": "1",
        "spark.executor.memory": "512m",
    }
    app = start(12, 0.2, 3600, spark.folder / "load", conf=dynamic)

    def active() -> int:
        return len([e for e in app.api("executors") if e["id"] != "driver"])

    wait_for("all that it may have", lambda: active() == 3)
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
    assert {app["name"] for app in shown} == {"slow.py"}
    completed = [app["id"] for app in shown if app["attempts"][0]["completed"]]
    assert sorted(f"eventlog_v2_{id_}" for id_ in completed) == kept
    stages = json.loads(fetch(f"{applications}/{completed[0]}/stages"))
    assert {stage["status"] for stage in stages} == {"COMPLETE"}
    assert "Spark Jobs" in fetch(f"http://{HISTORY}:18080/history/{completed[0]}/jobs/")
