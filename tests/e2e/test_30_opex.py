"""The cost analytics: what the engine shows, how it is reached, and that its history lasts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from typing import Any

import pytest

from console.cluster import connect
from console.costs import Use
from console.costs import use_of as use_by_engine
from console.stack import ROOT
from console.verbs import opex
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import wait_for

OPEX = ("-n", "opex", "-l", "app.kubernetes.io/name=opex")


def use_of(up: Up, namespace: str) -> Use:
    """What the engine has of a namespace; waited for as `make opex` does."""
    output = up.outputs()["opex"]
    read, rate = opex.reader(connect(up.stack), output), output["hourlyRate"]
    engine = output["engine"]
    return opex.wait_for(engine, lambda: use_by_engine(namespace, engine, read, rate))


def pod(up: Up) -> dict[str, Any]:
    """The engine's pod that is ready."""
    for found in up.get("pods", *OPEX)["items"]:
        conditions = {c["type"]: c["status"] for c in found["status"].get("conditions", [])}
        if conditions.get("Ready") == "True" and "deletionTimestamp" not in found["metadata"]:
            return found
    return {}


def another_pod(up: Up, than: dict[str, Any]) -> dict[str, Any]:
    """The pod that follows that one, once it is ready."""
    uid = than["metadata"]["uid"]
    return wait_for(
        "another pod", lambda: (found := pod(up)) and found["metadata"]["uid"] != uid and found
    )


def history(up: Up) -> dict[str, int]:
    """What the engine keeps of Spark's master: since when (Unix seconds), and how many samples."""
    find = "find /data -path '*/spark/*/master/*' -name checkpoint.json -exec cat {} +"
    printed = up.kubectl(
        "exec", "-n", "opex", "deploy/opex", "-c", "engine", "--", "sh", "-c", find
    )
    kept = json.loads(printed)
    return {"since": kept["first_sample_time"], "samples": kept["total_samples_count"]}


def test_the_namespace_of_spark_shows_cpu_memory_and_cost(up: Up):
    use = use_of(up, "spark")
    assert 0 < use.cpu < 6  # three nodes with two cores
    assert 2**27 < use.memory < 2**34  # three Java processes
    rate = up.outputs()["opex"]["hourlyRate"]
    assert rate == pytest.approx(3 * 0.048)
    assert use.cost is not None and 0 < use.cost < rate


def test_it_agrees_with_kubectl_top(up: Up):
    """On what hardly changes from one minute to the next."""
    top = up.kubectl("top", "pods", "-n", "kube-system", "--no-headers")
    mebibytes = sum(int(line.split()[2].removesuffix("Mi")) for line in top.splitlines())
    assert use_of(up, "kube-system").memory / 2**20 == pytest.approx(mebibytes, rel=0.25)


def test_make_opex_shows_all_namespaces(up: Up):
    printed = up.make("opex")
    for namespace in ("spark", "kube-system", "opex"):
        assert re.search(rf"^{namespace} +\d+\.\d+ +\d+ +0\.\d+ +\d+\.\d\d$", printed, re.M), (
            printed
        )


def test_it_is_reached_from_inside_and_by_the_command_only(up: Up):
    for service in up.get("services", "-n", "opex")["items"]:
        assert service["spec"]["type"] == "ClusterIP"
        assert "externalIPs" not in service["spec"]
    command = up.outputs()["opex"]["command"].split()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "http://" in line)
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert address, line
        with urllib.request.urlopen(address[0] + "namespaces.html", timeout=10) as page:
            assert "spark" in page.read().decode()
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        process.wait(timeout=20)


def test_history_outlives_the_pod_and_a_drained_node(up: Up):
    use_of(up, "spark")
    before, first = history(up), pod(up)
    name = first["metadata"]["name"]
    up.kubectl("delete", "pod", "-n", "opex", name, "--grace-period=0", "--force")
    second = another_pod(up, first)
    killed = history(up)
    assert killed["since"] == before["since"]
    assert killed["samples"] >= before["samples"]

    node = second["spec"]["nodeName"]
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
    try:
        # Of the node's pods only the engine's: the other tests need Spark's where they are.
        up.kubectl("drain", node, *flags, "--pod-selector=app.kubernetes.io/name=opex")
        third = another_pod(up, second)
        assert third["spec"]["nodeName"] != node
        # The engine makes a report every minute.
        wait_for("more history", lambda: history(up)["samples"] > killed["samples"])
        assert history(up)["since"] == before["since"]
    finally:
        up.kubectl("uncordon", node)
