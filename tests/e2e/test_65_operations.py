"""Spark in operation: pages, metrics, what fails and goes on, executors that come with the load.

What needs no Kubernetes is tested on loopback daemons (tests/charts/test_daemons.py).
"""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from console.stack import ROOT
from submission.application import DRIVER
from submission.place import KUBERNETES
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import API, Slow, kill, wait_for


@pytest.fixture
def start(up: Up) -> Iterator[Callable[..., Slow]]:
    """Starts `Slow`, which is gone afterwards."""
    started: list[Slow] = []

    def call(*args: Any, **what: Any) -> Slow:
        started.append(Slow(up, *args, **what))
        return started[-1]

    yield call
    for app in started:
        app.delete()


Start = Callable[..., Slow]


def master(up: Up) -> dict[str, Any]:
    """What the standalone master tells; nothing while it does not answer."""
    path = f"{API}/services/http:spark-master:8080/proxy/json/"
    with suppress(json.JSONDecodeError):
        return json.loads(up.kubectl("get", "--raw", path, check=False))
    return {}


def alive(up: Up) -> int:
    """How many workers the master has."""
    return len([w for w in master(up).get("workers", []) if w["state"] == "ALIVE"])


def test_finished_applications_are_browsable(up: Up):
    applications = f"{API}/services/http:spark-history:18080/proxy/api/v1/applications"

    def shown() -> bool:
        printed = up.kubectl("get", "--raw", applications, check=False)
        found = json.loads(printed) if printed.startswith("[") else []
        return any(a["name"] == "wordcount" and a["attempts"][0]["completed"] for a in found)

    wait_for("the word count in the history", shown)


def test_a_master_that_is_killed_knows_its_applications_again(up: Up, start: Start):
    """Before that, all pages and metrics, as `make ui` forwards them and annotations name them."""
    app = start(160, 1)  # on four cores it runs for 40 s, beyond the look at all pages
    app.wait_for_tasks(1)
    (running,) = master(up)["activeapps"]
    command = [str(ROOT / ".venv/bin/python"), "-m", "console", "ui"]
    ui = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert ui.stdout is not None
        shown = ""
        while f"/proxy/{running['id']}/" not in shown or "Spark history" not in shown:
            line = ui.stdout.readline()
            assert line, shown
            shown += line
        addresses = re.findall(r"http://127\.0\.0\.1:\d+/\S*", shown)
        titles = [fetch(a).partition("<title>")[2].partition("</title>")[0] for a in addresses]
        # The cost analytics' page may be among them.
        kinds = {"Spark Master at": 1, "Spark Worker at": 2, "slow - Spark Jobs": 1}
        for kind, pages in {**kinds, "History Server": 1}.items():
            assert len([title for title in titles if kind in title]) == pages, titles
    finally:
        ui.send_signal(signal.SIGINT)
        assert ui.wait(timeout=20) == 0

    scraped = metrics(up)
    assert {"spark-master-0", app.driver()} < scraped.keys()
    assert len(scraped) == 4
    assert 'metrics_master_aliveWorkers_Value{type="gauges"} 2' in scraped["spark-master-0"]
    assert "metrics_slow_driver_DAGScheduler_stage_runningStages_Value" in scraped[app.driver()]
    executors = f"{API}/pods/{app.driver()}:4040/proxy/metrics/executors/prometheus/"
    found = re.findall(r'completedTasks_total\{.*executor_id="(\w+)"', get(up, executors))
    assert len(found) == 3  # the driver counts as one

    kill(up, "spark-master-0")
    wait_for("another master with its workers", lambda: alive(up) == 2)
    assert [(a["id"], a["state"]) for a in master(up)["activeapps"]] == [(running["id"], "RUNNING")]
    app.assert_right()
    wait_for("free cores", lambda: master(up)["coresused"] == 0)


def fetch(address: str) -> str:
    """A page's text."""
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read().decode()


def get(up: Up, path: str) -> str:
    """What the API server gives for a path."""
    return up.kubectl("get", "--raw", path)


def metrics(up: Up) -> dict[str, str]:
    """Of each pod in Spark's namespace that says where they are: its metrics, as text."""
    scraped = {}
    for pod in up.get("pods", "-n", "spark", "--field-selector", "status.phase=Running")["items"]:
        says = pod["metadata"].get("annotations", {})
        if says.get("prometheus.io/scrape") == "true":
            name = pod["metadata"]["name"]
            path = f"{name}:{says['prometheus.io/port']}/proxy{says['prometheus.io/path']}"
            scraped[name] = get(up, f"{API}/pods/{path}")
    return scraped


def test_a_driver_that_is_killed_is_started_again(up: Up, start: Start):
    app = start(30, 1, retries=1)
    workers = up.get("pods", "-n", "spark", "-l", "app.kubernetes.io/component=worker")["items"]
    both = {pod["status"]["podIP"] for pod in workers}
    assert len(both) == 2
    wait_for("both workers at work", lambda: app.hosts_at_work() == both)
    app.kill_driver()
    app.assert_right()
    assert app.ended()["failed"] == 1


def test_a_native_driver_that_is_killed_takes_its_executors_along(up: Up, start: Start):
    app = start(60, 1, master=KUBERNETES, instances=2)
    wait_for("its executors", lambda: len(app.executors()) == 2)
    app.kill_driver()
    (why,) = [c for c in app.ended()["conditions"] if c["type"] == "Failed"]
    assert why["reason"] == "BackoffLimitExceeded"
    wait_for("its executors' end", lambda: not up.get(*_EXECUTORS)["items"], seconds=60)


_EXECUTORS = ("pods", "-n", "spark", "-l", "spark-role=executor")


def test_native_executors_come_with_the_load_and_go(up: Up, start: Start):
    """One of them is killed in the middle, too."""
    dynamic = {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.timeout": "5s",
        "spark.dynamicAllocation.minExecutors": "1",
        "spark.dynamicAllocation.maxExecutors": "3",
        "spark.dynamicAllocation.executorIdleTimeout": "5s",
    }
    app = start(40, 1.5, 30, master=KUBERNETES, instances=1, conf=dynamic)
    killed = wait_for("all that it may have", lambda: len(found := app.executors()) == 3 and found)[
        0
    ]
    up.kubectl("delete", "pod", "-n", "spark", killed, "--force", "--grace-period=0")
    wait_for("another", lambda: len(set(app.executors()) - {killed}) == 3)
    wait_for("the least that it keeps", lambda: len(app.executors()) == 1)
    assert app.driver()
    app.assert_right()
    wait_for("the end of all", lambda: not up.get(*_EXECUTORS)["items"], seconds=60)


def test_a_native_executor_that_is_asked_to_go_hands_over_what_it_has(up: Up, start: Start):
    app = start(60, 1, master=KUBERNETES, instances=2)
    app.wait_for_tasks(4)
    going = app.executors()[0]
    number = going.rpartition("-")[2]
    up.kubectl("delete", "pod", "-n", "spark", going, "--wait=false")

    def reason() -> str | None:
        """Why Spark says that it has gone."""
        for executor in app.api("allexecutors"):
            if executor["id"] == number:
                return executor.get("removeReason")
        return None

    # Of a pod that is just deleted, Spark says something else.
    assert "decommission" in wait_for("its end", reason)
    app.assert_right()


def test_work_moves_from_a_node_that_is_lost(up: Up, start: Start):
    # The driver is where the master is; the other worker node goes.
    stays = up.get("pod", "-n", "spark", "spark-master-0")["spec"]["nodeName"]
    there = dataclasses.replace(DRIVER, node_selector={"kubernetes.io/hostname": stays})
    # The driver's own patience would be two minutes.
    patience = {
        "spark.network.timeout": "20s",
        "spark.network.timeoutInterval": "5s",
        "spark.executor.heartbeatInterval": "4s",
    }
    app = start(60, 1, driver=there, conf=patience)
    app.wait_for_tasks(4)
    workers = [node for node in up.outputs()["nodes"] if node["role"] == "worker"]
    (lost,) = [node for node in workers if node["hostName"] != stays]
    cable = f"tbx{lost['instanceId'][-12:]}"
    try:
        # No connection is closed in an orderly way: only what is not heard tells of the loss.
        subprocess.run(["ip", "link", "set", cable, "down"], check=True)
        app.assert_right()
        wait_for("the loss", lambda: alive(up) == 1)
    finally:
        subprocess.run(["ip", "link", "set", cable, "up"], check=True)
    up.kubectl("wait", "--for=condition=Ready", f"node/{lost['hostName']}", "--timeout=120s")
    wait_for("the workers", lambda: alive(up) == 2)
