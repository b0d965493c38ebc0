"""What the word count used: complete, in agreement with the kernel's own counters, and drawn."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any
from xml.etree import ElementTree

import pytest

from components import wordcount
from console.stack import ROOT
from submission.measuring import read_result
from tests.e2e.conftest import Up

PRICE = 0.048  # Pulumi.local.yaml's
KEPT = "/srv/shared/spark/usage"


@pytest.fixture(scope="module")
def usage(up: Up) -> dict[str, Any]:
    """Of the last count."""
    return up.outputs()["wordCount"]["usage"]


def on_volume(up: Up, command: str) -> str:
    """What a command prints on a node that has the volume."""
    ran = up.ssh(up.control_plane(), command)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_every_executor_is_told_of(up: Up, usage: dict[str, Any]) -> None:
    workers = up.get("pods", "-n", "spark", "-l", "app.kubernetes.io/component=worker")["items"]
    assert {e["host"] for e in usage["executors"]} == {pod["status"]["podIP"] for pod in workers}
    assert len(usage["executors"]) == len(workers) == 2
    assert sum(executor["tasks"] for executor in usage["executors"]) == usage["tasks"] > 0
    for name, sampled in usage["sampled"].items():
        assert sampled["peakMemoryMiB"] > 100, name
        assert sampled["samples"] >= sampled["seconds"] / 2, name
    assert len(usage["sampled"]) == 3


def test_bytes_and_cost(up: Up, usage: dict[str, Any]) -> None:
    size = int(on_volume(up, f"stat -c %s {up.outputs()['wordCount']['output']}/summary.json"))
    assert size > 0
    assert usage["bytesRead"] > 0 < usage["shuffleBytesWritten"]
    core_seconds = usage["driver"]["cores"] * usage["driver"]["seconds"]
    core_seconds += sum(e["cores"] * e["seconds"] for e in usage["executors"])
    assert usage["cost"]["nodeCores"] == os.cpu_count()  # as many as the host's machines have
    hours = core_seconds / usage["cost"]["nodeCores"] / 3600
    assert usage["cost"]["usd"] == pytest.approx(hours * PRICE, rel=1e-3)
    assert usage["cost"]["usd"] > 0


def test_it_lies_beside_the_summary_and_the_event_log_stays(up: Up, usage: dict[str, Any]) -> None:
    output, app = up.outputs()["wordCount"]["output"], usage["application"]
    assert json.loads(on_volume(up, f"cat {output}/usage.json")) == usage
    log = f"/srv/shared/spark/events/eventlog_v2_{app}"
    assert f"events_1_{app}.zstd" in on_volume(up, f"sudo ls {log}").splitlines()
    # Finished: Spark takes this mark away at the end.
    assert ".inprogress" not in on_volume(up, f"sudo ls {log}")


def test_without_a_node_to_log_in_to_the_same_is_read_from_the_log(
    up: Up, usage: dict[str, Any]
) -> None:
    """What the program does on a cluster that it did not make."""
    (job,) = {
        owner["name"]
        for pod in up.get("pods", "-n", "spark", "-l", "app=wordcount")["items"]
        for owner in pod["metadata"]["ownerReferences"]
        if pod["metadata"]["name"] == usage["run"]
    }
    config = up.stack.outputs(secrets=True)["kubeconfig"]
    where = {"NAMESPACE": "spark", "JOB": job, "RUNS": wordcount._RUNS}
    done = subprocess.run(
        ["bash", wordcount._READ_LOG],
        env={**up.stack.env, "KUBECONFIG_TEXT": config, **where},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    summary, used = read_result(done.stdout)
    assert used == usage
    for key in ("words", "output"):
        assert summary[key] == up.outputs()["wordCount"][key]


def test_samples_agree_with_the_event_log_and_with_the_kernel(
    up: Up, usage: dict[str, Any]
) -> None:
    for executor in usage["executors"]:
        sampled = usage["sampled"][f"executor {executor['id']}"]["cpuSeconds"]
        # Beside its tasks a JVM compiles and collects; of its last second nothing is known.
        assert sampled > executor["cpuSeconds"] - executor["cores"]
    # A worker's process counts the CPU of all the executors that it has had and that have ended.
    runs = [json.loads(line) for line in on_volume(up, f"cat {KEPT}/*/usage.json").splitlines()]
    workers = up.get("pods", "-n", "spark", "-l", "app.kubernetes.io/component=worker")["items"]
    for pod in workers:
        stat = up.kubectl(
            "exec", "-n", "spark", pod["metadata"]["name"], "--", "cat", "/proc/1/stat"
        )
        kernel = sum(map(int, stat.rpartition(")")[2].split()[13:15])) / 100
        here = [
            run["sampled"][f"executor {executor['id']}"]["cpuSeconds"]
            for run in runs
            for executor in run["executors"]
            if executor["host"] == pod["status"]["podIP"]
        ]
        # Each executor's last second is not sampled, and the worker's start had a few processes.
        assert -0.5 <= kernel - sum(here) <= 2 + 2 * len(here)


def test_the_picture(up: Up, usage: dict[str, Any]) -> None:
    printed = up.make("usage", f"RUN={usage['application']}")
    for process in usage["sampled"]:
        assert f"\n{process} " in printed
    pictures = [
        ROOT / line.split(": ", 1)[1]
        for line in printed.splitlines()
        if line.startswith("Picture: ")
    ]
    png, svg = pictures
    assert png.read_bytes().startswith(b"\x89PNG") and png.stat().st_size > 20_000
    # A line of its own for each process, in both parts.
    root = ElementTree.parse(svg).getroot()
    lines = [node for node in root.iter() if node.get("id", "").startswith("line2d")]
    assert len(lines) > 2 * len(usage["sampled"])
