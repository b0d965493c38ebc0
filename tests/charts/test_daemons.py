"""The chart's own commands, configuration and probes, run for real without Kubernetes.

Master and workers are processes with loopback addresses of their own in place of pods; they run
the very scripts that the chart puts into the containers, with PyPI's pyspark as /opt/spark.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyspark
import pytest

from tests.charts.conftest import Objects

CHECKOUT = Path(__file__).parents[2]
PROGRAM = str(CHECKOUT / "spark_jobs" / "wordcount.py")
#: What the chart mounts at /opt/tinderbox/usage.
PROGRAMS = CHECKOUT / "charts" / "spark" / "files"
SPARK_HOME = Path(pyspark.__file__).parent
#: Loopback addresses of the master, the workers and drivers: each has all ports to itself.
MASTER, *WORKERS = "127.77.0.1", "127.77.0.2", "127.77.0.3"
DRIVER = "127.77.0.9"
PRICE = 0.048


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 60) -> Any:
    """The condition's first true value."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


class Standalone:
    """The chart's pods as processes. Logs and the shared volume lie in `folder`."""

    def __init__(self, objects: Objects, folder: Path) -> None:
        self.objects = objects
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        #: The latest daemon of each address.
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        secret = objects["Secret/spark-auth"]["data"]["secret"]
        self.secret = base64.b64decode(secret).decode()
        for name in ("daemons", "defaults"):
            (folder / name).mkdir()
            for file, text in objects[f"ConfigMap/spark-{name}"]["data"].items():
                (folder / name / file).write_text(text)

    def container(self, workload: str) -> Any:
        return self.objects[workload]["spec"]["template"]["spec"]["containers"][0]

    def here(self, script: str, address: str) -> str:
        """A script of the chart with what a pod has and this machine has not."""
        script = script.replace("/opt/spark", str(SPARK_HOME)).replace("spark-master", MASTER)
        script = script.replace("/opt/tinderbox/usage", str(PROGRAMS))
        script = script.replace("/tmp/work", str(self.folder / f"work-{address}"))
        return script.replace("127.0.0.1", address)

    def environment(self, address: str, conf: str) -> dict[str, str]:
        own = {"POD_IP": address, "SPARK_LOCAL_IP": address, "_SPARK_AUTH_SECRET": self.secret}
        own |= {"SPARK_CONF_DIR": str(self.folder / conf), "PYSPARK_PYTHON": sys.executable}
        return os.environ | own | {"SPARK_DAEMON_MEMORY": "256m"}

    def spawn(self, command: list[str], env: dict[str, str], log: str) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as out:
            process = subprocess.Popen(
                command, env=env, stdout=out, stderr=out, start_new_session=True
            )
        self.running.append(process)
        return process

    def start(self, workload: str, address: str) -> subprocess.Popen[bytes]:
        container = self.container(workload)
        command = [*container["command"], self.here(container["args"][0], address)]
        env = self.environment(address, "daemons")
        self.processes[address] = self.spawn(command, env, f"{address}.log")
        return self.processes[address]

    def started(self, address: str) -> bool:
        """The workers' startup probe."""
        *shell, script = self.container("Deployment/spark-worker")["startupProbe"]["exec"][
            "command"
        ]
        probe = subprocess.run([*shell, self.here(script, address)], stderr=subprocess.DEVNULL)
        return probe.returncode == 0

    def state(self) -> dict[str, Any]:
        """What the master tells at the path that its probes ask for; {} if it does not answer."""
        path = self.container("StatefulSet/spark-master")["readinessProbe"]["httpGet"]["path"]
        try:
            with urllib.request.urlopen(f"http://{MASTER}:8080{path}", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return {}

    def is_whole(self) -> bool:
        state = self.state()
        alive = [w for w in state.get("workers", []) if w["state"] == "ALIVE"]
        return state.get("status") == "ALIVE" and len(alive) == len(WORKERS)

    def submit(
        self, *args: str, secret: str | None = None, measured: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """A driver, configured as README.md of the chart says, below measured.py."""
        env = self.environment(DRIVER, "defaults")
        if secret is not None:
            env["_SPARK_AUTH_SECRET"] = secret
        command = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", f"spark://{MASTER}:7077"]
        if measured:
            command = [sys.executable, str(PROGRAMS / "measured.py"), *measured, "--", *command]
        command += ["--conf", f"spark.driver.host={DRIVER}", *args]
        return self.spawn(command, env, "driver.log")

    def end(self) -> None:
        """End every process and what it started."""
        for process in self.running:
            for pid in descendants(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        below = Path(f"/proc/{pid}/task").glob("*/children")
        children = [int(child) for file in below for child in file.read_text().split()]
    except OSError:
        return []
    return [pid, *(other for child in children for other in descendants(child))]


def command_line(pid: int) -> bytes:
    """Empty for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def spark(
    render: Callable[..., Objects], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("shared")
    volume = f'volume={{"claimName":"spark","mountPath":"{folder}"}}'
    objects = render(volume, f"app.nodePrice={PRICE}")
    standalone = Standalone(objects, folder)
    try:
        # Workers first: they wait for the master.
        for address in WORKERS:
            standalone.start("Deployment/spark-worker", address)
        standalone.start("StatefulSet/spark-master", MASTER)
        for address in WORKERS:
            wait_for(f"worker {address}", lambda address=address: standalone.started(address))
        yield standalone
    finally:
        standalone.end()


def test_master_has_its_workers(spark: Standalone) -> None:
    # A worker is started when it is registered, so there is nothing to wait for.
    assert spark.is_whole()
    assert {worker["host"] for worker in spark.state()["workers"]} == set(WORKERS)


def test_rest_submission_is_off(spark: Standalone) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((MASTER, 6066), timeout=5)


def test_metrics(spark: Standalone) -> None:
    for workload, address, port in (
        ("StatefulSet/spark-master", MASTER, 8080),
        ("Deployment/spark-worker", WORKERS[0], 8081),
    ):
        annotations = spark.objects[workload]["spec"]["template"]["metadata"]["annotations"]
        path = annotations["prometheus.io/path"]
        assert annotations["prometheus.io/port"] == str(port)
        with urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=5) as answer:
            assert "_Value{type=" in answer.read().decode()


def test_word_count_on_all_workers(spark: Standalone) -> None:
    text = "the cat the dog\n" * 20_000
    (spark.folder / "in").mkdir()
    for number in range(8):
        (spark.folder / "in" / f"{number}.txt").write_text(text)
    output = spark.folder / "runs" / "one"
    driver = spark.submit(PROGRAM, str(spark.folder / "in"), str(output))
    assert driver.wait(timeout=120) == 0, (spark.folder / "driver.log").read_text()
    assert (output / "_SUCCESS").exists()
    summary = json.loads((output / "summary.json").read_text())
    counted = {row["word"]: row["count"] for row in summary["top"]}
    assert counted == {word: 8 * n for word, n in Counter(text.split()).items()}
    for address in WORKERS:
        assert list(spark.folder.glob(f"work-{address}/app-*/*/stderr")), "no executor here"


def test_usage_of_driver_and_executors(spark: Standalone) -> None:
    """By the chart's own sampler in the workers, and measured.py around the driver."""
    (spark.folder / "used.txt").write_text("to be or not to be\n" * 400_000)
    output = spark.folder / "runs" / "used"
    shared = str(spark.folder / "spark")
    driver = spark.submit(
        *("--conf", "spark.sql.files.maxPartitionBytes=1000000"),
        *(PROGRAM, str(spark.folder / "used.txt"), str(output)),
        measured=["--beside", str(output), shared, "pod-1"],
    )
    assert driver.wait(timeout=120) == 0, (spark.folder / "driver.log").read_text()
    usage = json.loads((output / "usage.json").read_text())
    app = usage["application"]
    kept = spark.folder / "spark" / "usage" / app
    assert usage == json.loads((kept / "usage.json").read_text())
    last = (spark.folder / "driver.log").read_text().splitlines()[-1]
    assert last == f"usage: {json.dumps(usage)}"
    assert list(spark.folder.glob(f"spark/events/eventlog_v2_{app}/events_1_{app}.zstd"))

    assert {executor["host"] for executor in usage["executors"]} == set(WORKERS)
    assert usage["bytesRead"] >= (spark.folder / "used.txt").stat().st_size
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
        assert sampled["peakMemoryMiB"] == pytest.approx(executor["peakMemoryMiB"], rel=0.2)
    # Each process's own share: CPU that was lost would show here.
    cpu = sum(process["cpuSeconds"] for process in usage["sampled"].values())
    assert cpu < os.cpu_count() * (usage["sampled"]["driver"]["seconds"] + 1)


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
    """The chart's preStop hook in the middle of a count, then the end of the worker."""
    leaving = spark.processes[WORKERS[0]]
    folder = spark.folder / f"work-{WORKERS[0]}"
    earlier = set(folder.glob("app-*"))
    lines, letters = 240, 8000
    # For each letter the pattern looks at the whole rest of the line.
    (spark.folder / "slow.txt").write_text(("a" * letters + "\n") * lines)
    output = spark.folder / "runs" / "slow"
    driver = spark.submit(
        *("--conf", "spark.sql.files.maxPartitionBytes=100000"),
        *("--conf", "spark.sql.files.openCostInBytes=1"),
        *(PROGRAM, str(spark.folder / "slow.txt"), str(output), "--pattern", "a(?=.*)"),
    )

    def counts_here() -> bool:
        logs = [log for app in set(folder.glob("app-*")) - earlier for log in app.glob("*/stderr")]
        return any("Running task" in log.read_text() for log in logs)

    wait_for("a task on the worker", counts_here)
    hook = spark.container("Deployment/spark-worker")["lifecycle"]["preStop"]["exec"]["command"]
    # In its container the worker is process 1.
    script = hook[-1].replace("-PWR 1\n", f"-PWR {leaving.pid}\n")
    assert str(leaving.pid) in script
    env = spark.environment(WORKERS[0], "daemons")
    subprocess.run([*hook[:-1], script], env=env, timeout=90)
    assert leaving.poll() is None
    executors = [p for p in descendants(leaving.pid) if b"-cp" in command_line(p)]
    assert executors == [leaving.pid], "an executor is left"
    leaving.terminate()
    assert driver.wait(timeout=120) == 0, (spark.folder / "driver.log").read_text()
    summary = json.loads((output / "summary.json").read_text())
    assert summary["top"] == [{"word": "a", "count": lines * letters}]

    spark.start("Deployment/spark-worker", WORKERS[0])
    wait_for("the worker", lambda: spark.started(WORKERS[0]))


def test_master_recovers(spark: Standalone) -> None:
    master = spark.processes[MASTER]
    before = {w["id"] for w in spark.state()["workers"] if w["state"] == "ALIVE"}
    master.kill()
    master.wait()
    spark.start("StatefulSet/spark-master", MASTER)
    wait_for("the workers", spark.is_whole, seconds=90)
    assert before <= {worker["id"] for worker in spark.state()["workers"]}
