"""Applications: `make submit` and the word count, standalone and with executors as pods."""

from __future__ import annotations

import functools
import http.server
import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyspark
import pytest

from console.stack import ROOT
from tests.e2e.conftest import Up
from tests.e2e.meanwhile import wait_for

MODES = {
    "standalone": [],
    "native-client": ["--master", "kubernetes"],
    "native-cluster": ["--master", "kubernetes", "--deploy-mode", "cluster"],
}
SMALL = ["--num-executors", "1", "--executor-memory", "512m"]
# Ends with a code of its own, after its executors did something.
FAILS = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("counted", spark.range(1000).repartition(2).count(), *sys.argv[1:])
sys.exit(3)
"""
# Holds its executors until it is ended.
HOLDS = """
import time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("counted", spark.range(1000).repartition(2).count(), flush=True)
time.sleep(600)
"""


def submit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What `make submit` calls."""
    command = [".venv/bin/python", "-m", "console", "submit", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    print(done.stdout, done.stderr)
    return done


def left(up: Up) -> set[str]:
    """What submitted applications have made and is still there: pods, and what Spark adds.

    The word count is the stack's: its Job stays.
    """
    found = set()
    for kind in ("pods", "configmaps", "services", "networkpolicies"):
        for item in up.get(kind, "-n", "spark")["items"]:
            labels = item["metadata"].get("labels", {})
            by_spark = {"spark-role", "spark-app-selector"} & labels.keys()
            of_stack = labels.get("app") == "wordcount" or "app.kubernetes.io/component" in labels
            if by_spark or (kind == "pods" and not of_stack):
                found.add(f"{kind}/{item['metadata']['name']}")
    return found


def gone(up: Up) -> None:
    """Waits until nothing is left: pods that end take a moment, and what belonged to them."""
    wait_for("nothing left", lambda: not left(up))


def executors(up: Up) -> list[dict[str, Any]]:
    """The executors that are pods."""
    return up.get("pods", "-n", "spark", "-l", "spark-role=executor")["items"]


@pytest.fixture(autouse=True)
def nothing_stays(up: Up) -> Iterator[None]:
    """Whatever a test submits is gone when it is over."""
    yield
    gone(up)


def assert_told(printed: str) -> None:
    """The last line but the submission's own says what driver and executor used, and the cost."""
    (line,) = re.findall(r"^usage: (\{.*\})$", printed, re.M)
    used = json.loads(line)
    assert used["name"] == "pi" and used["tasks"] > 0 and used["cost"]["usd"] > 0
    names = {"driver", *(f"executor {executor['id']}" for executor in used["executors"])}
    assert names == set(used["sampled"]) and len(names) > 1
    assert all(sampled["peakMemoryMiB"] > 0 for sampled in used["sampled"].values())


@pytest.mark.parametrize("mode", MODES)
def test_pi_in_every_mode(up: Up, mode: str):
    options = " ".join([*MODES[mode], *SMALL])
    printed = up.make("submit", "APP=spark_jobs/pi.py", "ARGS=100000", f"OPTIONS={options}")
    assert re.search(r"^Pi is roughly 3\.1", printed, re.M)
    assert_told(printed)


@pytest.mark.parametrize("mode", MODES)
def test_a_failing_drivers_exit_code_is_the_commands(up: Up, tmp_path: Path, mode: str):
    script = tmp_path / "fails.py"
    script.write_text(FAILS)
    done = submit(*MODES[mode], *SMALL, script, "$(POD)", "$HOME", "a b")
    assert done.returncode == 3
    # What the user wrote comes as it was written, through both pods.
    assert "counted 1000 $(POD) $HOME a b" in done.stdout


def test_ctrl_c_ends_driver_and_executors(up: Up, tmp_path: Path):
    script = tmp_path / "holds.py"
    script.write_text(HOLDS)
    command = [
        ".venv/bin/python",
        "-m",
        "console",
        "submit",
        "--master",
        "kubernetes",
        *SMALL,
        script,
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert any(line.startswith("counted") for line in process.stdout)
        (executor,) = executors(up)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    spec = executor["spec"]
    assert spec["securityContext"]["runAsUser"] == 185
    assert spec["automountServiceAccountToken"] is False
    # The secret is in no manifest; the driver owns its executors.
    assert "_SPARK_AUTH_SECRET" not in json.dumps(executor)
    (owner,) = executor["metadata"]["ownerReferences"]
    assert owner["kind"] == "Pod" and owner["name"] in executor["metadata"]["name"]


def test_a_jar_and_a_program_from_a_url(up: Up, tmp_path: Path):
    class_ = "org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver"
    # Files here, together too large for a ConfigMap.
    jars = Path(pyspark.__file__).parent / "jars"
    jar, other = (jars / f"spark-{n}_2.13-4.2.0.jar" for n in ("hive-thriftserver", "graphx"))
    query = "SELECT concat('sum ', sum(id)) FROM range(101)"
    done = submit("--name", "sql", "--class", class_, "--jars", other, *SMALL, jar, "-e", query)
    assert done.returncode == 0 and "sum 5050" in done.stdout
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(ROOT / "spark_jobs")
    )
    with http.server.ThreadingHTTPServer(("10.43.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        web = f"http://10.43.0.1:{server.server_port}"
        beside = f"{web}/careful.py,{web}/texts.py"  # of what is here submit finds that out
        done = submit(*SMALL, "--py-files", beside, f"{web}/pi.py", "100000")
        server.shutdown()
    assert done.returncode == 0 and "Pi is roughly 3.1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no/such.py"], "no/such.py can't be read: No such file or directory"),
        (["--master", "yarn", "spark_jobs/pi.py"], "there is no master 'yarn': it must be"),
        (
            ["--master", "kubernetes", "--executor-memory", "900g", "spark_jobs/pi.py"],
            "an executor of 1.01 CPU and 922144 MiB fits on no node",
        ),
        (["--executor-memory", "8g", "spark_jobs/pi.py"], "fits on no worker: one gives 2 CPU and"),
    ],
)
def test_bad_input_is_one_line_before_anything_waits(up: Up, arguments: list[str], said: str):
    done = submit(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert said in line
    assert left(up) == set()


def test_sparks_account_may_what_it_needs_and_no_more(up: Up):
    def may(verb: str, what: str, *more: str, namespace: str = "spark") -> bool:
        account = "--as=system:serviceaccount:spark:spark"
        asked = ["auth", "can-i", verb, what, *more, "-n", namespace, account]
        return up.kubectl(*asked, check=False).strip() == "yes"

    for what in ("pods", "services", "configmaps", "networkpolicies.networking.k8s.io"):
        assert may("create", what) and may("deletecollection", what), what
    assert may("get", "pods", "--subresource=log")
    assert not may("get", "secrets") and not may("create", "pods", "--subresource=exec")
    assert not may("create", "jobs.batch") and not may("create", "rolebindings")
    assert not may("list", "pods", namespace="kube-system") and not may("list", "nodes")


def test_the_word_count_natively_equals_counters(up: Up, tmp_path: Path):
    """As a setting of the stack. Its executors are pods, and gone afterwards."""
    text = ROOT / "README.md"
    up.stack.prepare(str(text))
    up.stack.pulumi("config", "set", "--path", "tinderbox:wordCount.master", "kubernetes", own=True)
    try:
        up.stack.up(tmp_path / "events.jsonl")
        result = up.assert_counted(text)
        assert {"driver", "executor 1"} <= set(result["usage"]["sampled"])
        job = Path(result["output"]).parent.name
        scheduled = up.get("events", "-n", "spark", "--field-selector", "reason=Scheduled")["items"]
        names = {event["involvedObject"]["name"] for event in scheduled}
        made = [name for name in names if re.match(rf"{job}-\w+-exec-\d+$", name)]
        assert len(made) == 2
        gone(up)
    finally:
        up.make("up")  # standalone again, as the repo's configuration says
